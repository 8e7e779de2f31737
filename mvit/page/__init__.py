"""The page: one module a tab."""
