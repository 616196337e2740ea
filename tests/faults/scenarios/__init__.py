"""The scenarios, each a function of a stage; `tests.faults.scenarios.catalogue` lists them."""
