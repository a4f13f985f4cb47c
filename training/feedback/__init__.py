"""Log and wait: served slates with their feature rows, joined to what viewers did next, become training rows."""
