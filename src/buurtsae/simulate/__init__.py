"""Made regions, residents with known scores, and surveys of them: what recovery and coverage are measured on."""
