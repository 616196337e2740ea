"""Who asked, allowed and did what: a log that is only added to, each entry chained to the last."""
