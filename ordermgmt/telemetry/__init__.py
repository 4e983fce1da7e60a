"""What the suite tells about itself: its log and its start-up table."""
