"""Per-owner storage: rows in SQLite, bytes in a directory of blobs, workspaces beside them.

Knows nothing of engines and executions' lives; `orchestrator.app` joins it to the lifecycle.
"""
