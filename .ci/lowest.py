"""Print the lowest versions that pyproject.toml allows of what the package itself asks for, as constraints for pip."""

import re
import tomllib
from pathlib import Path

project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
extras = project["optional-dependencies"]
for wanted in [*project["dependencies"], *(part for name in ("serve", "osm", "dask") for part in extras[name])]:
    print(re.sub(r">=([^,;]+).*", r"==\1", wanted))
