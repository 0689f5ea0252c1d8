"""What papers that measure time share."""
