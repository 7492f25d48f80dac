"""What touches libraries: ONNX Runtime, insightface, OpenCV, simplejpeg, trackers."""
