from tests.pages.conftest import check_page

__all__ = ["check_page"]
