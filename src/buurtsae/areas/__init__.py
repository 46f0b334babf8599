"""Areas: codes with their year, hierarchy, residents, geometry, neighbours and the ICAR structure."""
