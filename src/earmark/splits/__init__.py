"""From clips to train, valid and test subsets in which nothing leaks."""
