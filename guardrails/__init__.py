"""What is allowed: policy, limits, input and output checks; pure, no IO."""
