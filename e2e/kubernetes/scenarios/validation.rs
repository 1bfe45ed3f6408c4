//! Every CEL rule of the CustomResourceDefinition, at the API server: it takes what it should and refuses the rest with its message.

#[path = "../../../crds/tests/common/cases.rs"]
mod cases;

use cases::cases;
use e2e_kubernetes::Namespace;
use kube::Api;
use kube::api::{ApiResource, DeleteParams, DynamicObject, PostParams};
use serde_json::Value;
use sofia_crds::VoiceTrunk;

#[tokio::test]
async fn every_rule_refuses_at_the_api_server_with_its_message() {
    let namespace = Namespace::create("validation").await;
    let kind = ApiResource::erase::<VoiceTrunk>(&());
    let trunks = Api::namespaced_with(namespace.client.clone(), &namespace.name, &kind);
    let (mut taken, mut refused) = (0, 0);
    for case in cases() {
        if let Some(old) = &case.old {
            // Updates of an object that is there, without ever changing it.
            drop(trunks.create(&PostParams::default(), &read(old)).await.expect("the object before the update"));
            for object in &case.takes {
                try_update(&trunks, object).await.unwrap_or_else(|error| panic!("{}: {error}", case.message));
            }
            for object in &case.refuses {
                expect_refusal(case.path, case.message, try_update(&trunks, object).await);
            }
            trunks.delete("main", &DeleteParams::default()).await.expect("it can be deleted");
        } else {
            for object in &case.takes {
                try_create(&trunks, object).await.unwrap_or_else(|error| panic!("{}: {error}", case.message));
            }
            for object in &case.refuses {
                expect_refusal(case.path, case.message, try_create(&trunks, object).await);
            }
        }
        taken += case.takes.len();
        refused += case.refuses.len();
    }
    println!("{} cases: {taken} objects taken, {refused} refused with the rule's message", cases().len());
    namespace.delete().await;
}

fn dry_run() -> PostParams {
    PostParams { dry_run: true, ..PostParams::default() }
}

async fn try_create(trunks: &Api<DynamicObject>, object: &Value) -> Result<(), kube::Error> {
    trunks.create(&dry_run(), &read(object)).await.map(drop)
}

async fn try_update(trunks: &Api<DynamicObject>, object: &Value) -> Result<(), kube::Error> {
    loop {
        let mut new = read(object);
        // The operator writes the status in between.
        new.metadata.resource_version = trunks.get("main").await?.metadata.resource_version;
        match trunks.replace("main", &dry_run(), &new).await {
            Err(kube::Error::Api(status)) if status.is_conflict() => {}
            answer => return answer.map(drop),
        }
    }
}

fn read(object: &Value) -> DynamicObject {
    serde_json::from_value(object.clone()).unwrap_or_else(|error| panic!("{error}: {object}"))
}

fn expect_refusal(path: &str, message: &str, answer: Result<(), kube::Error>) {
    match answer {
        Err(kube::Error::Api(status)) => {
            assert!(status.message.contains(message), "{path}: expected {message:?}, got {:?}", status.message);
        }
        other => panic!("{path}: expected {message:?}, got {other:?}"),
    }
}
