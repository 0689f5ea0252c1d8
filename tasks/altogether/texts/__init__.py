"""What people call a picture, and corrections of one text by the others."""
