"""Redis behind four cache ports and the feature rows."""
