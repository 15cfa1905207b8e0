"""The pictures in docs/images: the demo's report and search page, light, 1440 x 900.

rankstill demo -w rankstill-demo
python docs/gen/pictures.py rankstill-demo
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from urllib.parse import quote

from playwright.sync_api import Page, sync_playwright

IMAGES = Path(__file__).parent.parent / "images"
QUERY = "Macrolides have no protective effect against myocardial infarction."
"""The test query that gains most in the demo."""


def take(page: Page, workspace: Path, address: str) -> None:
    """All pictures of a workspace whose search page is at the address."""
    page.goto((workspace / "report.html").resolve().as_uri())
    page.screenshot(path=IMAGES / "report.png")
    page.locator("#systems").evaluate("heading => heading.scrollIntoView()")
    page.wait_for_timeout(1_000)
    page.screenshot(path=IMAGES / "report-systems.png")
    page.goto(f"{address}?q={quote(QUERY)}")
    page.locator(".hit:visible").first.wait_for()
    page.wait_for_timeout(1_000)  # until the lines are drawn
    page.screenshot(path=IMAGES / "serve.png")


def main() -> None:
    """Write the report anew, serve the workspace, take the pictures."""
    workspace, rankstill = Path(sys.argv[1]), [sys.executable, "-m", "rankstill"]
    subprocess.run([*rankstill, "report", workspace], check=True)
    with subprocess.Popen([*rankstill, "serve", workspace, "--port", "0"], stderr=subprocess.PIPE, text=True) as server:
        assert server.stderr is not None
        address = next(line.split()[4] for line in server.stderr if line.startswith("ready after"))
        with sync_playwright() as browsers:
            browser = browsers.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
            take(browser.new_page(viewport={"width": 1440, "height": 900}), workspace, address)
            browser.close()
        server.terminate()


if __name__ == "__main__":
    main()
