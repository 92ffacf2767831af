//! Deception: a customer is led to a URL that looks like everybody's and is answered with their own
//! state. Nothing of that is kept, whatever the origin says of it.

use csu_edge::config::GenericPolicy;

use super::{POLICIES, Scene};

#[tokio::test]
async fn what_stands_under_a_private_set_is_never_kept() {
    for policy in POLICIES {
        let scene = Scene::under(policy).await;
        for target in [
            "/Commerce/Carts('x')",
            "/Commerce/Carts('x')/a.css",
            "/Commerce/Carts('x')/a.css?v=1",
            "/Commerce/Carts('x')%3Fa.css",
            "/Commerce/Carts/a.css",
            "/Commerce/Carts",
            "/Commerce/Carts/",
            "/Commerce//Carts('x')/a.css",
            "/Commerce/carts('x')/a.css",
            "/Commerce/CARTS('x')/a.css",
            "/COMMERCE/cArTs('x')/a.css",
            "/Commerce/%43arts('x')/a.css",
            "/Commerce/C%61rt%73%28%27x%27%29/a.css",
            "/Commerce/Carts%20('x')/a.css",
            "/Commerce/%20Carts('x')/a.css",
            "/Commerce/Carts;v=1('x')/a.css",
            "/Commerce/Carts;a.css",
            "/Commerce/Carts%3Ba.css",
            "/Commerce/Carts%3Fa.css",
            "/Commerce/Carts%23a.css",
            "/Commerce/Carts!a.css",
            "/Commerce/Carts,a.css",
            "/Commerce/Carts./a.css",
            "/Commerce/Carts%2E/a.css",
            "/Commerce/Cart%C5%BF/a.css",
            "/Commerce/Customers('1')/a.js",
            "/Commerce/SalesOrders/GetReceipts/a.png",
            "/Commerce/ProductLists/a.png",
            "/Commerce/CommerceLists/a.png",
            "/Commerce/Shifts/a.png",
            "/Commerce/x/y/Customers('1')/a.png",
            "/Customers('1')/a.png",
            "http://evil.example/Commerce/Carts('x')/a.css",
        ] {
            scene.assert_never_kept(target, &[]).await;
            scene.assert_never_kept(target, &[("cookie", "session=alice")]).await;
        }
    }
}

#[tokio::test]
async fn a_read_with_a_suffix_is_a_url_of_its_own() {
    const SUFFIXED: &str = "/Commerce/Products(1)/GetById/x.css";
    let scene = Scene::under(GenericPolicy::Pass).await;
    scene.assert_never_kept(SUFFIXED, &[]).await;

    let scene = Scene::under(GenericPolicy::Rfc9111).await;
    scene.get(SUFFIXED, &[]).await;
    assert_eq!(scene.origin.last().target, SUFFIXED);
    assert!(scene.get(SUFFIXED, &[]).await.is_hit());
    for other in ["/Commerce/Products(1)/GetById", "/Commerce/Products(1)/GetById/x.js"] {
        let heard = scene.get(other, &[]).await;
        assert!(!heard.is_hit(), "{other}");
        assert_eq!(scene.origin.last().target, other);
    }
}

#[tokio::test]
async fn what_an_origin_says_is_for_everybody_is_believed_of_no_device() {
    for policy in POLICIES {
        let scene = Scene::under(policy).await;
        for target in ["/media/a.css", "/Commerce/Products(1)/GetById(channelId=1)"] {
            scene.assert_never_kept(target, &[("devicetoken", "t")]).await;
        }
    }
}
