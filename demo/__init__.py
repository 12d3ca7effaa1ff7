"""The main job on one machine: an emulated CloudWatch, a real server, a real agent. Run by ``make demo``."""
