"""The admission webhook that puts the sidecar into pods: decide, patch, answer. It never touches credits."""
