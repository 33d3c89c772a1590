"""From recordings to clips: public sets in their official layouts, your own, and a synthetic one."""
