//! The category tree and the catalogues.

use serde_json::{Value, json};

use super::{Answered, collection};
use crate::sandbox::call::Call;
use crate::sandbox::company::{CATALOGUES, CATEGORIES, Category};
use crate::sandbox::language::Language;

pub(crate) fn categories<'a>(call: &'a Call<'a>) -> Answered<'a> {
    let rows = CATEGORIES.iter().map(|node| category(call, node));
    collection("Category", rows.collect())
}

/// The direct children; the root's where the category is 0.
pub(crate) fn children<'a>(call: &'a Call<'a>) -> Answered<'a> {
    let parent = match call.int("categoryId") {
        Some(0) | None => CATEGORIES.first(),
        Some(id) => Category::by_id(id),
    };
    let children = parent.into_iter().flat_map(Category::children);
    collection("Category", children.map(|child| category(call, child)).collect())
}

pub(crate) fn category(call: &Call<'_>, category: &Category) -> Value {
    let names = Language::ALL.map(
        |language| json!({"LanguageId": language.as_str(), "Name": category.name.say(language)}),
    );
    json!({
        "RecordId": category.record_id(),
        "ParentCategory": category.parent().map_or(0, Category::record_id),
        "Name": category.name.say(call.language),
        "NameTranslations": names,
        "DisplayOrder": category.index,
        "Images": [],
        "ExtensionProperties": [],
    })
}

/// What the caller may use: everybody's catalogues, and a signed-in customer's own.
pub(crate) fn catalogues<'a>(call: &'a Call<'a>) -> Answered<'a> {
    let account = call.caller.map(|customer| customer.account);
    let open = CATALOGUES.iter().filter(|c| c.owner.is_none() || c.owner == account);
    let rows = open.map(|catalogue| {
        json!({
            "RecordId": catalogue.id,
            "Name": catalogue.name.say(call.language),
            "Language": call.language.as_str(),
            "ChannelId": call.channel.id,
            "IsSnapshotEnabled": false,
            "ValidFrom": "1900-01-01T00:00:00Z",
            "ValidTo": "2154-12-31T23:59:59Z",
            "Images": [],
            "ExtensionProperties": [],
        })
    });
    collection("ProductCatalog", rows.collect())
}
