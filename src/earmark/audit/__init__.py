"""What would inflate results: copies, shortcuts, groups that cross subsets."""
