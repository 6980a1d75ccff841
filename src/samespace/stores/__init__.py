"""Where rows are kept, durably."""
