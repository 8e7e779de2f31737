"""The page as a whole: what it tells of its server."""

import urllib.request

from mvit.storage.files import ROOT


def test_no_folder_of_the_server_is_told(server):
    told = urllib.request.urlopen(f"{server}/config").read().decode()
    assert "strong" in told
    assert str(ROOT) not in told
