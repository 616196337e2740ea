"""Word sent to somebody's URL when a run ends or pauses: owed durably, signed, tried again."""
