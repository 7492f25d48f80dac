"""Reports of evaluations as one HTML file: no scripts, nothing from elsewhere, readable in black and white."""
