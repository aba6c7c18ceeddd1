"""The HTTP door: the same interface for programs elsewhere, a service and its client."""
