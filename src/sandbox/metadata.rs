//! `$metadata` and the service document: small, and true as far as they go.

use serde_json::{Value, json};

/// Each entity set with its type, the type's key and the key's type.
const ENTITY_SETS: [(&str, &str, &str, &str); 9] = [
    ("Products", "SimpleProduct", "RecordId", "Edm.Int64"),
    ("Categories", "Category", "RecordId", "Edm.Int64"),
    ("Catalogs", "ProductCatalog", "RecordId", "Edm.Int64"),
    ("OrgUnits", "OrgUnit", "OrgUnitNumber", "Edm.String"),
    ("Recommendations", "RecommendedElement", "ElementId", "Edm.String"),
    ("Carts", "Cart", "Id", "Edm.String"),
    ("SalesOrders", "SalesOrder", "Id", "Edm.String"),
    ("Customers", "Customer", "AccountNumber", "Edm.String"),
    ("Warehouses", "Warehouse", "InventLocation", "Edm.String"),
];

/// The entity sets in CSDL XML 4.0: keys alone, types open.
pub(crate) fn csdl() -> String {
    let types: String = ENTITY_SETS
        .iter()
        .map(|(_, kind, key, of)| {
            format!(
                "<EntityType Name=\"{kind}\" OpenType=\"true\"><Key><PropertyRef Name=\"{key}\"/></Key>\
                 <Property Name=\"{key}\" Type=\"{of}\" Nullable=\"false\"/></EntityType>"
            )
        })
        .collect();
    let sets: String = ENTITY_SETS
        .iter()
        .map(|(set, kind, ..)| {
            format!(
                "<EntitySet Name=\"{set}\" \
                 EntityType=\"Microsoft.Dynamics.Commerce.Runtime.DataModel.{kind}\"/>"
            )
        })
        .collect();
    format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?>\
         <edmx:Edmx Version=\"4.0\" xmlns:edmx=\"http://docs.oasis-open.org/odata/ns/edmx\">\
         <edmx:DataServices>\
         <Schema Namespace=\"Microsoft.Dynamics.Commerce.Runtime.DataModel\" \
         xmlns=\"http://docs.oasis-open.org/odata/ns/edm\">{types}\
         <EntityContainer Name=\"CommerceContext\">{sets}</EntityContainer></Schema>\
         </edmx:DataServices></edmx:Edmx>"
    )
}

/// What stands at the service root itself (OData JSON Format 4.01 §5).
pub(crate) fn service_document(service_root: &str) -> Value {
    let sets = ENTITY_SETS.map(|(set, ..)| json!({"name": set, "kind": "EntitySet", "url": set}));
    json!({"@odata.context": format!("{service_root}/$metadata"), "value": sets})
}
