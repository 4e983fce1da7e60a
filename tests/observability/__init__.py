"""What the suite tells of itself, and what is made of it: the page of metrics, the alerts, the dashboard."""
