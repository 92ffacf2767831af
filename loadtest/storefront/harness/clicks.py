"""A customer's way through the storefront, click by click. Whatever is not as it should be ends it."""

import re
from contextlib import contextmanager

from playwright.sync_api import expect, sync_playwright

from visit import WINDOW, remembering

DEADLINE_MS = 30_000
PHONE = {"viewport": {"width": 360, "height": 740}, "has_touch": True, "is_mobile": True}
# The first master of the stand-in's assortment, and one of its variants.
MASTER, VARIANT = 68719489882, 68719489884


@contextmanager
def browser(executable, flags):
    with sync_playwright() as playwright:
        opened_browser = playwright.chromium.launch(executable_path=executable, args=flags)
        try:
            yield opened_browser
        finally:
            opened_browser.close()


@contextmanager
def profile(browser, **settings):
    """A browser profile that has seen nothing yet."""
    context = browser.new_context(**({"viewport": WINDOW, "locale": "en-US"} | settings))
    try:
        context.set_default_timeout(DEADLINE_MS)
        yield context
    finally:
        context.close()


@contextmanager
def opened(browser, page, base, path, **settings):
    """A tab of a new profile, and the problems that it comes to have."""
    problems = []

    def sent(request):
        is_known = any(request.url.startswith(f"{known}/") for known in (page, base))
        if not is_known and not request.url.startswith("data:"):
            problems.append(f"asked elsewhere: {request.url}")

    def answered(response):
        if response.status >= 400:
            problems.append(f"status {response.status}: {response.url}")

    def logged(message):
        if message.type in ("error", "warning"):
            problems.append(f"logged: {message.text}")

    with profile(browser, **settings) as context:
        tab = context.new_page()
        tab.on("request", sent)
        tab.on("response", answered)
        tab.on("requestfailed", lambda request: problems.append(f"failed: {request.url}: {request.failure}"))
        tab.on("console", logged)
        tab.on("pageerror", lambda error: problems.append(f"thrown: {error}"))
        tab.goto(f"{page}/{path}", wait_until="commit")
        whole(tab)
        yield tab, problems


def whole(tab, outcome="whole"):
    expect(tab.locator(f"html[data-page={outcome}]")).to_be_attached()


def amount(locator):
    return float(re.sub(r"[^\d.]", "", locator.inner_text()))


def count(tab):
    return int(re.match(r"\d+", tab.locator("#count").inner_text())[0])


def from_the_listing_to_the_cart(browser, page, base):
    with opened(browser, page, base, "") as (tab, problems):
        everything = count(tab)
        tab.get_by_role("navigation", name="Departments").get_by_role("link", name="Home").click()
        expect(tab.get_by_role("heading", level=1, name="Home")).to_be_visible()
        whole(tab)
        assert 0 < count(tab) < everything, "a department is not smaller than everything"
        tiles = tab.locator("#products .tile")
        expect(tiles).to_have_count(24)
        expect(tiles.locator(".price", has_text="$")).to_have_count(24)
        expect(tiles.locator(".level[data-level=AVAIL], .level[data-level=LOW], .level[data-level=OOS]")).to_have_count(24)

        in_stock = tiles.filter(has=tab.locator("[data-level=AVAIL]")).filter(has_not_text="from").first
        name, price = in_stock.get_by_role("link").inner_text(), amount(in_stock.locator(".price"))
        in_stock.get_by_role("link").click()
        expect(tab.get_by_role("heading", level=1, name=name)).to_be_visible()
        whole(tab)
        assert amount(tab.locator("#price")) == price, "the product page has another price than the listing"
        expect(tab.locator("#level")).to_have_attribute("data-level", "AVAIL")
        expect(tab.locator(".facts dt", has_text="Brand")).to_be_visible()
        expect(tab.locator("section .tile .price", has_text="$").first).to_be_visible()
        large = tab.locator(".gallery > img")
        before = large.get_attribute("src")
        tab.get_by_role("button", name="Image 2 of 3").click()
        assert large.get_attribute("src") != before, "the gallery shows the same image"

        tab.get_by_label("Quantity").fill("2")
        tab.get_by_role("button", name="Add to cart").click()
        expect(tab.locator("#cart-count")).to_have_text("(2)")
        tab.get_by_role("link", name="See the cart").click()
        expect(tab.get_by_role("heading", level=1, name="Cart")).to_be_visible()
        whole(tab)
        line = tab.locator("#lines li")
        expect(line).to_have_count(1)
        expect(line.get_by_role("link", name=name)).to_be_visible()
        quantity = line.get_by_label(f"Quantity of {name}")
        expect(quantity).to_have_value("2")
        total = lambda: amount(tab.locator("#totals dd").first)  # noqa: E731
        assert total() == round(2 * price, 2), "two do not cost twice as much as one"
        quantity.fill("3")
        quantity.blur()
        expect(tab.locator("#cart-count")).to_have_text("(3)")
        assert total() == round(3 * price, 2), "the total does not follow the quantity"

        tab.reload(wait_until="commit")
        whole(tab)
        expect(line.get_by_label(f"Quantity of {name}")).to_have_value("3")
        tab.get_by_role("button", name=f"Remove {name}").click()
        expect(tab.get_by_text("Your cart is empty.")).to_be_visible()
        expect(tab.locator("#cart-count")).to_have_text("")
    return problems


def a_listing_is_narrowed_sorted_paged_and_searched(browser, page, base):
    with opened(browser, page, base, "?category=5637144577") as (tab, problems):
        everything = count(tab)
        brand = tab.get_by_role("group", name="Brand").get_by_role("checkbox")
        brand.first.check()
        tab.wait_for_url("**r=*")
        whole(tab)
        one = count(tab)
        brand.nth(1).check()
        tab.wait_for_url("**r=*r=*")
        whole(tab)
        assert one < count(tab) < everything, "brands do not narrow, or a second one does not widen"
        tab.get_by_role("link", name="Clear all filters").click()
        whole(tab)
        assert count(tab) == everything, "filters are not cleared"

        tab.get_by_label("Sort by").select_option("Price, lowest first")
        tab.wait_for_url("**sort=price")
        whole(tab)
        least = [amount(price) for price in tab.locator("#products .price").all()]
        assert least == sorted(least), f"not in the order of prices: {least}"
        tab.get_by_role("link", name="Next").click()
        expect(tab.get_by_text("Page 2 of")).to_be_visible()
        whole(tab)
        assert amount(tab.locator("#products .price").first) >= least[-1], "the second page begins below the first"
        tab.go_back()
        expect(tab.get_by_text("Page 1 of")).to_be_visible()

        tab.get_by_label("Search products").fill("lamp")
        tab.keyboard.press("Enter")
        expect(tab.get_by_role("heading", level=1, name="lamp")).to_be_visible()
        whole(tab)
        for name in tab.locator("#products .tile a").all_inner_texts():
            assert "lamp" in name.lower(), f"{name} is no lamp"
        tab.get_by_label("Search products").fill("zzzzzz")
        tab.get_by_role("button", name="Search").click()
        expect(tab.get_by_text("Nothing was found.")).to_be_visible()
    return problems


def of_a_master_a_variant_is_bought(browser, page, base):
    with opened(browser, page, base, f"?product={MASTER}") as (tab, problems):
        add = tab.get_by_role("button", name="Add to cart")
        expect(add).to_be_disabled()
        tab.get_by_label("Variant").select_option(str(VARIANT))
        expect(add).to_be_enabled()
        chosen = tab.locator("#variant option:checked").inner_text()
        assert re.fullmatch(r"\w+, \w+", chosen), f"no colour and size: {chosen}"
        add.click()
        tab.get_by_role("link", name="See the cart").click()
        whole(tab)
        expect(tab.locator(f"#lines a[href='?product={VARIANT}']")).to_be_visible()
    return problems


def a_phone_shows_all_of_it(browser, page, base):
    seen = []
    for path in ("?category=5637144577", f"?product={MASTER}", "?cart"):
        with opened(browser, page, base, path, **PHONE) as (tab, problems):
            wide = tab.evaluate("document.documentElement.scrollWidth")
            assert wide <= PHONE["viewport"]["width"], f"{path} is {wide} pixels wide on a phone"
        seen += problems
    return seen


def errors_are_shown(browser, page, base, control):
    """What a page cannot do without, what it can, and a cart that is gone. What fails here is meant to."""
    def sick(operation):
        control("POST", "faults", {"operation": operation, "status": 500, "for": "60s"})

    with opened(browser, page, base, "?cart") as (tab, _):
        try:
            sick("Products/SearchByCriteria")
            tab.get_by_label("Search products").fill("boot")
            tab.keyboard.press("Enter")
            whole(tab, "failed")
            expect(tab.get_by_role("alert")).to_contain_text("Products/SearchByCriteria · 500")
            control("DELETE", "faults")
            sick("Products/GetActivePrices")
            tab.get_by_role("button", name="Try again").click()
            whole(tab)
            expect(tab.get_by_role("alert")).to_contain_text("Products/GetActivePrices · 500")
            expect(tab.locator("#products .price").first).to_have_text("Price not available")
            expect(tab.locator("#products .level").first).not_to_be_empty()
        finally:
            control("DELETE", "faults")
        tab.evaluate(remembering(base, "gone", 7))
        tab.reload(wait_until="commit")
        whole(tab)
        tab.get_by_role("link", name=re.compile("^Cart")).click()
        expect(tab.get_by_text("Your cart is empty.")).to_be_visible()
        expect(tab.locator("#cart-count")).to_have_text("")
    return []
