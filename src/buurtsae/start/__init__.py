"""From a survey file to a folder with a run file: `buurtsae init`."""
