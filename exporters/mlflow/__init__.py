"""What MLflow keeps: runs, notes, files and registered versions; the only room that imports ``mlflow``."""
