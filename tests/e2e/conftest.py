"""End to end: whole workflows, run by act through titlebout.act (the harness; stand-ins are in src/titlebout/standins)."""
