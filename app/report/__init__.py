"""What a run leaves for people: the page `report.html`, the model's card, and metrics for other tools."""
