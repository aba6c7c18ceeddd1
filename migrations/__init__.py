"""The steps that make and change the index's schema; `orchestrator.storage.database.upgrade` runs them."""
