"""One execution from claim to commit; knows the engine and the storage only through `ports`."""
