"""Pictures: whole data sets as one tensor, a visitor's file, the page's drawings."""
