//! Set-up: channels, stores, tender types and the like.

use serde_json::{Value, json};

use super::{Answered, collection, entity_or_nothing};
use crate::sandbox::call::{Call, field};
use crate::sandbox::company::{CHANNELS, Channel, DATA_AREA, WAREHOUSES, Warehouse};
use crate::sandbox::language::{Language, Text, text};

/// The channel of the request (`OUN`), whole.
pub(crate) fn org_unit_configuration<'a>(call: &'a Call<'a>) -> Answered<'a> {
    let channel = call.channel;
    let languages = Language::ALL.map(|language| {
        json!({"LanguageId": language.as_str(), "IsDefault": language == Language::English})
    });
    entity_or_nothing(
        "ChannelConfiguration",
        Some(json!({
            "RecordId": channel.id,
            "OrgUnitNumber": channel.operating_unit,
            "Name": channel.name.say(call.language),
            "Currency": channel.currency,
            "CompanyCurrency": "USD",
            "CountryRegionId": channel.country,
            "InventLocation": channel.warehouse,
            "InventLocationDataAreaId": DATA_AREA,
            "DefaultLanguageId": Language::English.as_str(),
            "Languages": languages,
            "PriceIncludesSalesTax": false,
            "TimeZoneInfoId": "UTC",
            "ExtensionProperties": [],
        })),
    )
}

pub(crate) fn channels<'a>(call: &'a Call<'a>) -> Answered<'a> {
    let rows = CHANNELS.iter().map(|channel| {
        json!({
            "RecordId": channel.id,
            "OperatingUnitNumber": channel.operating_unit,
            "Name": channel.name.say(call.language),
            "ChannelTypeValue": 4,
            "Currency": channel.currency,
            "InventoryLocationId": channel.warehouse,
            "ExtensionProperties": [],
        })
    });
    collection("Channel", rows.collect())
}

/// Every place; a search text (`storeName`, `SearchText`, …) narrows by name.
pub(crate) fn locations<'a>(call: &'a Call<'a>) -> Answered<'a> {
    let wanted = ["searchCriteria", "orgUnitLocationSearchCriteria", "criteria"]
        .into_iter()
        .find_map(|name| call.get(name))
        .and_then(|criteria| {
            ["SearchText", "StoreName", "OrgUnitName"]
                .into_iter()
                .find_map(|name| field(criteria, name)?.as_str())
        })
        .unwrap_or_default()
        .to_lowercase();
    let found = WAREHOUSES
        .iter()
        .filter(|place| place.name.say(call.language).to_lowercase().contains(&wanted));
    collection("OrgUnitLocation", found.map(|place| location(call, place)).collect())
}

pub(crate) fn location(call: &Call<'_>, warehouse: &Warehouse) -> Value {
    let channel = CHANNELS.iter().find(|channel| channel.warehouse == warehouse.id);
    json!({
        "ChannelId": channel.map_or(0, |channel| channel.id),
        "OrgUnitNumber": channel.map_or("", |channel| channel.operating_unit),
        "OrgUnitName": warehouse.name.say(call.language),
        "InventoryLocationId": warehouse.id,
        "DataAreaId": DATA_AREA,
        "Latitude": warehouse.latitude,
        "Longitude": warehouse.longitude,
        "Distance": 0.0,
        "ExtensionProperties": [],
    })
}

/// The hours of the store whose operating unit is asked for; of an unknown one, nothing.
pub(crate) fn store_hours<'a>(call: &'a Call<'a>) -> Answered<'a> {
    let store = call.text("storeNumber").and_then(Channel::by_operating_unit);
    let hours = store.map(|store| {
        let days = (0..7).map(|day| {
            let is_sunday = day == 0;
            json!({
                "DayOfWeek": day,
                "IsClosed": is_sunday,
                "OpenTime": if is_sunday { 0 } else { 9 * 3_600 },
                "CloseTime": if is_sunday { 0 } else { 20 * 3_600 },
            })
        });
        json!({
            "StoreNumber": store.operating_unit,
            "RegularStoreHours": days.collect::<Vec<_>>(),
            "ExtensionProperties": [],
        })
    });
    entity_or_nothing("StoreHours", hours)
}

pub(crate) fn inventory_configuration<'a>(_: &'a Call<'a>) -> Answered<'a> {
    let value = json!({
        "InventoryLevelCodes": ["AVAIL", "LOW", "OOS"],
        "IsInventoryAvailabilityEnabled": true,
        "IsInventoryBufferEnabled": false,
        "ExtensionProperties": [],
    });
    entity_or_nothing("InventoryConfiguration", Some(value))
}

pub(crate) fn search_configuration<'a>(_: &'a Call<'a>) -> Answered<'a> {
    let value = json!({
        "IsProductSearchSuggestionEnabled": true,
        "IsCustomerSearchEnabled": false,
        "ExtensionProperties": [],
    });
    entity_or_nothing("SearchConfiguration", Some(value))
}

pub(crate) fn environment_configuration<'a>(_: &'a Call<'a>) -> Answered<'a> {
    let value = json!({
        "EnvironmentName": "csu-sandbox",
        "TenantId": "00000000-0000-0000-0000-000000000000",
        "ClientAppInsightsInstrumentationKey": "",
        "ExtensionProperties": [],
    });
    entity_or_nothing("EnvironmentConfiguration", Some(value))
}

pub(crate) fn tender_types<'a>(call: &'a Call<'a>) -> Answered<'a> {
    let tenders = [
        ("1", 1, text("Cash", "Kontant")),
        ("2", 2, text("Card", "Kort")),
        ("4", 4, text("On account", "På konto")),
    ];
    let rows = tenders.map(|(id, operation, name)| {
        json!({
            "TenderTypeId": id,
            "OperationId": operation,
            "Name": name.say(call.language),
            "ExtensionProperties": [],
        })
    });
    collection("TenderType", rows.into())
}

const COUNTRIES: [(&str, &str, Text); 3] = [
    ("USA", "US", text("United States", "USA")),
    ("NOR", "NO", text("Norway", "Norge")),
    ("DNK", "DK", text("Denmark", "Danmark")),
];

pub(crate) fn country_regions<'a>(call: &'a Call<'a>) -> Answered<'a> {
    let rows = COUNTRIES.map(|(id, code, name)| {
        json!({
            "CountryRegionId": id,
            "ISOCode": code,
            "ShortName": name.say(call.language),
            "LongName": name.say(call.language),
            "LanguageId": call.language.as_str(),
            "ExtensionProperties": [],
        })
    });
    collection("CountryRegionInfo", rows.into())
}

pub(crate) fn state_provinces<'a>(call: &'a Call<'a>) -> Answered<'a> {
    let states = [
        ("USA", "WA", "Washington"),
        ("USA", "TX", "Texas"),
        ("NOR", "03", "Oslo"),
        ("NOR", "46", "Vestland"),
    ];
    let country = ["countryCode", "countryRegionId"].into_iter().find_map(|name| call.text(name));
    let rows = states.into_iter().filter(|(of, ..)| country.is_none_or(|country| country == *of));
    let row = |(of, id, name)| json!({"CountryRegionId": of, "StateId": id, "StateName": name});
    collection("StateProvinceInfo", rows.map(row).collect())
}

pub(crate) fn currencies<'a>(call: &'a Call<'a>) -> Answered<'a> {
    let currencies = [
        ("USD", "$", text("US dollar", "Amerikanske dollar")),
        ("NOK", "kr", text("Norwegian krone", "Norske kroner")),
    ];
    let rows = currencies.map(|(code, symbol, name)| {
        json!({
            "CurrencyCode": code,
            "CurrencySymbol": symbol,
            "Name": name.say(call.language),
            "NumberOfDecimals": 2,
            "ExtensionProperties": [],
        })
    });
    collection("Currency", rows.into())
}

/// The features that are asked about, all of them on.
pub(crate) fn feature_states<'a>(call: &'a Call<'a>) -> Answered<'a> {
    let names = call.list("featureNames").iter().filter_map(Value::as_str);
    let rows = names.map(|name| json!({"Name": name, "IsEnabled": true}));
    collection("FeatureState", rows.collect())
}

pub(crate) fn available_promotions<'a>(call: &'a Call<'a>) -> Answered<'a> {
    let name = text("Two for the price of one", "To for prisen av én");
    let promotion = json!({
        "OfferId": "ST100001",
        "OfferName": name.say(call.language),
        "PromotionTypeValue": 1,
        "ValidFromDate": "1900-01-01T00:00:00Z",
        "ValidToDate": "2154-12-31T23:59:59Z",
        "ExtensionProperties": [],
    });
    collection("AvailablePromotion", vec![promotion])
}
