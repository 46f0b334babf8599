"""Print the lowest versions that pyproject.toml allows of what the package itself asks for, as constraints for pip."""

import re
import tomllib
from pathlib import Path

project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
for wanted in [*project["dependencies"], *project["optional-dependencies"]["serve"]]:
    print(re.sub(r">=([^,;]+).*", r"==\1", wanted))
