"""The figures of a report, drawn by matplotlib without any global state."""
