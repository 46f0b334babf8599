"""Draws that agree with published figures: targets, and the nearest draws within their bounds."""
