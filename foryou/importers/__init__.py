"""Logs of other systems as events on the log and users in the tables."""

from foryou.importers.kuairand import import_kuairand
from foryou.importers.mapped import import_events
from foryou.importers.report import ImportReport, ImportStores, OnProgress, Progress
from foryou.importers.world import import_world

__all__ = [
    "ImportReport",
    "ImportStores",
    "OnProgress",
    "Progress",
    "import_events",
    "import_kuairand",
    "import_world",
]
