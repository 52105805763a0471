//! `examples/kubernetes`: what is deployed is a configuration that the filter
//! accepts, and a host that fails closed.

use serde_json::{Value, json};

use crate::{documents, load, read};

fn of_kind<'a>(documents: &'a [Value], kind: &str) -> &'a Value {
    let mut found = documents.iter().filter(|document| document["kind"] == kind);
    let first = found.next().unwrap_or_else(|| panic!("no {kind}"));
    assert!(found.next().is_none(), "one {kind}");
    first
}

/// The names in all `{env: NAME}` of a configuration.
fn environment(configuration: &Value) -> Vec<&str> {
    let mut names: Vec<&str> = match configuration {
        Value::Object(members) if members.len() == 1 && members.contains_key("env") => {
            vec![members["env"].as_str().unwrap()]
        }
        Value::Object(members) => members.values().flat_map(environment).collect(),
        Value::Array(items) => items.iter().flat_map(environment).collect(),
        _ => Vec::new(),
    };
    names.sort_unstable();
    names
}

/// What loads the module in Istio: a resource's own fields, or those below `wasm`.
fn assert_istio_loads(plugin: &Value) {
    load(&plugin["pluginConfig"]);
    assert_eq!(plugin["failStrategy"], "FAIL_RELOAD");
    assert_eq!(plugin["url"], "oci://registry.shop.example/gatepass:0.2.0");
    let mut given: Vec<&str> = plugin["vmConfig"]["env"]
        .as_array()
        .unwrap()
        .iter()
        .map(|variable| {
            assert_eq!(variable["valueFrom"], "HOST", "no secret in the manifest");
            variable["name"].as_str().unwrap()
        })
        .collect();
    given.sort_unstable();
    assert_eq!(given, environment(&plugin["pluginConfig"]));
}

#[test]
fn istio() {
    let documents = documents("examples/kubernetes/istio.yaml");
    let extension = &of_kind(&documents, "TrafficExtension")["spec"];
    assert_eq!(extension["phase"], "AUTHN");
    let plugin = &extension["wasm"];
    assert_istio_loads(plugin);
    // What the services are told is what Istio checks.
    let rule = &of_kind(&documents, "RequestAuthentication")["spec"]["jwtRules"][0];
    let identity = &plugin["pluginConfig"]["identity_token"];
    assert_eq!(rule["issuer"], identity["issuer"]);
    assert_eq!(rule["audiences"], identity["audiences"]);
    assert!(rule["jwksUri"].as_str().unwrap().ends_with("/.well-known/gatepass/jwks.json"));
    let policy = &of_kind(&documents, "AuthorizationPolicy")["spec"]["rules"][0]["from"][0];
    let principal = format!("{}/*", identity["issuer"].as_str().unwrap());
    assert_eq!(policy["source"]["requestPrincipals"], json!([principal]));
    // Not the whole namespace: the gateway calls services there without an identity.
    for kind in ["RequestAuthentication", "AuthorizationPolicy"] {
        let labels = &of_kind(&documents, kind)["spec"]["selector"]["matchLabels"];
        assert_eq!(labels, &json!({"gatepass-identity": "required"}), "{kind}");
    }
}

#[test]
fn istio_before_1_30() {
    let of_today = documents("examples/kubernetes/istio.yaml");
    let of_today = &of_kind(&of_today, "TrafficExtension")["spec"];
    let documents = documents("examples/kubernetes/istio-wasmplugin.yaml");
    let plugin = &of_kind(&documents, "WasmPlugin")["spec"];
    assert_istio_loads(plugin);
    for field in ["selector", "phase"] {
        assert_eq!(plugin[field], of_today[field], "{field}");
    }
    for (field, value) in of_today["wasm"].as_object().unwrap() {
        assert_eq!(&plugin[field], value, "{field}");
    }
}

#[test]
fn envoy_gateway() {
    let documents = documents("examples/kubernetes/envoy-gateway.yaml");
    let wasm = &of_kind(&documents, "EnvoyExtensionPolicy")["spec"]["wasm"][0];
    let settings = load(&wasm["config"]);
    assert!(settings.user_info.is_some());
    assert_eq!(wasm["failOpen"], false);
    let mut given: Vec<&str> =
        wasm["env"]["hostKeys"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    given.sort_unstable();
    assert_eq!(given, environment(&wasm["config"]));
    let proxy = &of_kind(&documents, "EnvoyProxy")["spec"]["provider"]["kubernetes"];
    let variables = proxy["envoyDeployment"]["container"]["env"].as_array().unwrap();
    let mut set: Vec<&str> =
        variables.iter().map(|variable| variable["name"].as_str().unwrap()).collect();
    set.sort_unstable();
    assert_eq!(set, given);
    let gateway = of_kind(&documents, "Gateway");
    let of_gateway = &gateway["spec"]["infrastructure"]["parametersRef"]["name"];
    assert_eq!(of_gateway, &of_kind(&documents, "EnvoyProxy")["metadata"]["name"]);
}

/// The same with the policy's own backends: nothing else differs.
#[test]
fn envoy_gateway_backends() {
    let older = documents("examples/kubernetes/envoy-gateway.yaml");
    let mut newer = documents("examples/kubernetes/envoy-gateway-backends.yaml");
    let policy = newer.iter_mut().find(|document| document["kind"] == "EnvoyExtensionPolicy");
    let policy = policy.unwrap();
    let text = |pointer: &str| policy.pointer(pointer).unwrap().as_str().unwrap().to_owned();
    let (name, namespace) = (text("/metadata/name"), text("/metadata/namespace"));
    let gateway = text("/spec/targetRefs/0/name");
    let backends = policy["spec"].as_object_mut().unwrap().remove("backends").unwrap();
    let ports: Vec<&Value> =
        backends.as_array().unwrap().iter().map(|it| &it["backendRef"]["port"]).collect();
    assert_eq!(ports, [8080, 8080]);
    load(&policy["spec"]["wasm"][0]["config"]);
    let services = &mut policy["spec"]["wasm"][0]["config"]["services"];
    for (backend, service) in backends.as_array().unwrap().iter().zip(["auth", "users"]) {
        assert_eq!(backend["name"], service);
        assert_eq!(
            services[service]["upstream"],
            format!(
                "envoyextensionpolicy/{namespace}/{name}/backend/{service}/gateway/{namespace}/{gateway}/0"
            )
        );
        services[service]["upstream"] = format!("httproute/{namespace}/{service}/rule/0").into();
    }
    let of_filter = |document: &&Value| document["metadata"]["name"] != "users";
    let older: Vec<&Value> = older.iter().filter(of_filter).collect();
    assert_eq!(newer.iter().collect::<Vec<_>>(), older);
}

/// Envoy Gateway makes clusters of a Gateway's own routes, and runs the filter on
/// them alone.
#[test]
fn envoy_gateway_routes() {
    let documents = documents("examples/kubernetes/envoy-gateway.yaml");
    let gateway = &of_kind(&documents, "Gateway")["metadata"]["name"];
    let policy = of_kind(&documents, "EnvoyExtensionPolicy");
    assert_eq!(&policy["spec"]["targetRefs"][0]["name"], gateway);
    let namespace = policy["metadata"]["namespace"].as_str().unwrap();
    let routes: Vec<&Value> =
        documents.iter().filter(|document| document["kind"] == "HTTPRoute").collect();
    let mut clusters = Vec::new();
    for route in &routes {
        let name = route["metadata"]["name"].as_str().unwrap();
        assert_eq!(&route["spec"]["parentRefs"][0]["name"], gateway, "{name}");
        clusters.push(format!("httproute/{namespace}/{name}/rule/0"));
    }
    for (name, service) in policy["spec"]["wasm"][0]["config"]["services"].as_object().unwrap() {
        let upstream = service["upstream"].as_str().unwrap();
        assert!(clusters.iter().any(|cluster| cluster == upstream), "{name}: {upstream}");
    }
    // The user service is for the filter alone.
    let closed = &of_kind(&documents, "SecurityPolicy")["spec"];
    assert_eq!(closed["targetRefs"][0]["name"], "users");
    assert_eq!(closed["authorization"], json!({"defaultAction": "Deny"}));
    // Else nobody could fetch the gateway's keys.
    let is_for_all = |route: &&&Value| {
        let spec = &route["spec"];
        spec["hostnames"].is_null() && spec["rules"][0]["matches"].is_null()
    };
    assert_eq!(routes.iter().filter(is_for_all).count(), 1, "a route for all paths");
}

#[test]
fn kubernetes() {
    let documents = documents("examples/kubernetes/envoy.yaml");
    let pod = &of_kind(&documents, "Deployment")["spec"]["template"]["spec"];
    let container = &pod["containers"][0];
    let script = read(".ci/install-envoy");
    let version = script.lines().find_map(|line| line.strip_prefix("version=")).unwrap();
    assert_eq!(container["image"], format!("envoyproxy/envoy:v{version}"), "the one tested with");
    // The image names no user, and the kubelet starts nothing as root where it must not.
    let context = &pod["securityContext"];
    assert_eq!((&context["runAsNonRoot"], &context["runAsUser"]), (&json!(true), &json!(101)));
    let bundled = read("envoy/envoy.yaml");
    let probe = container["readinessProbe"]["httpGet"]["path"].as_str().unwrap();
    assert!(bundled.contains(&format!("jwks_path: {probe}")), "{probe}");
    assert!(bundled.contains("host_env_keys: [GATEPASS_SIGNING_KEY, USERS_API_KEY]"));
    let makefile = read("Makefile");
    assert!(makefile.contains("oci:"), "`make oci` makes the image");
}

/// What Kustomize generates is what the deployment names; built by kubectl where there is one.
#[test]
fn kustomize() {
    let kustomization = documents("examples/kubernetes/kustomization.yaml")[0].take();
    let envoy = documents("examples/kubernetes/envoy.yaml");
    assert_eq!(kustomization["resources"], json!(["envoy.yaml"]));
    let pod = &of_kind(&envoy, "Deployment")["spec"]["template"]["spec"];
    let (config, secret) =
        (&kustomization["configMapGenerator"][0], &kustomization["secretGenerator"][0]);
    assert_eq!(config["name"], pod["volumes"][0]["configMap"]["name"]);
    assert_eq!(config["files"], json!(["config/envoy.yaml"]), "its name in the directory");
    assert!(pod["containers"][0]["args"][1].as_str().unwrap().ends_with("/envoy.yaml"));
    assert_eq!(secret["name"], pod["containers"][0]["envFrom"][0]["secretRef"]["name"]);
    let minimal = documents("envoy/minimal.yaml")[0].take().to_string();
    assert!(minimal.contains("GATEPASS_SIGNING_KEY"));
    assert_eq!(secret["files"], json!(["GATEPASS_SIGNING_KEY=secrets/signing-key.pem"]));

    let directory = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("kustomize");
    let put = |name: &str, text: &str| {
        let path = directory.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    for name in ["kustomization.yaml", "envoy.yaml"] {
        put(name, &read(&format!("examples/kubernetes/{name}")));
    }
    put("config/envoy.yaml", &read("envoy/minimal.yaml"));
    put("secrets/signing-key.pem", "key");
    let mut kubectl = std::process::Command::new("kubectl");
    let built = match kubectl.arg("kustomize").arg(&directory).output() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            // What is above was compared; no package of Debian has kubectl.
            eprintln!("what Kustomize makes of it was not compared: there is no kubectl");
            return;
        }
        built => built.unwrap(),
    };
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    let built = String::from_utf8(built.stdout).unwrap();
    let built: Vec<Value> = serde_norway::Deserializer::from_str(&built)
        .map(|document| serde::Deserialize::deserialize(document).unwrap())
        .collect();
    let pod = &of_kind(&built, "Deployment")["spec"]["template"]["spec"];
    let image = pod["volumes"][1]["image"]["reference"].as_str().unwrap();
    assert!(image.starts_with("registry.example/"), "{image}");
    let config = of_kind(&built, "ConfigMap");
    assert_eq!(config["metadata"]["name"], pod["volumes"][0]["configMap"]["name"]);
    assert_eq!(config["data"]["envoy.yaml"], read("envoy/minimal.yaml"));
    let secret = &of_kind(&built, "Secret")["metadata"]["name"];
    assert_eq!(*secret, pod["containers"][0]["envFrom"][0]["secretRef"]["name"]);
}

/// The image that Istio and Envoy Gateway pull: what its parts say of each other
/// is so, and its one layer holds the module under the name that they look for.
#[test]
fn oci_image() {
    let layout = std::path::Path::new(env!("CARGO_WORKSPACE_DIR")).join("target/oci");
    let script = std::process::Command::new(".ci/oci")
        .current_dir(env!("CARGO_WORKSPACE_DIR"))
        .output()
        .expect("bash runs");
    assert!(script.status.success(), "{}", String::from_utf8_lossy(&script.stderr));
    let blob = |descriptor: &Value| {
        let digest = descriptor["digest"].as_str().unwrap().strip_prefix("sha256:").unwrap();
        let bytes = std::fs::read(layout.join("blobs/sha256").join(digest)).unwrap();
        assert_eq!(bytes.len() as u64, descriptor["size"].as_u64().unwrap());
        assert_eq!(sha256(&bytes), digest);
        bytes
    };
    let read = |name: &str| std::fs::read(layout.join(name)).unwrap();
    let json = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).unwrap();
    assert_eq!(json(&read("oci-layout"))["imageLayoutVersion"], "1.0.0");
    let manifest = json(&blob(&json(&read("index.json"))["manifests"][0]));
    let configuration = json(&blob(&manifest["config"]));
    assert_eq!(configuration["os"], "wasip1");
    let layers = manifest["layers"].as_array().unwrap();
    let [layer] = layers.as_slice() else { panic!("{} layers", layers.len()) };
    assert_eq!(layer["mediaType"], "application/vnd.oci.image.layer.v1.tar+gzip");
    let packed = blob(layer);
    let unpacked = std::process::Command::new("gzip")
        .args(["--decompress", "--stdout"])
        .arg(layout.join("blobs/sha256").join(sha256(&packed)))
        .output()
        .expect("gzip runs")
        .stdout;
    assert_eq!(
        configuration["rootfs"]["diff_ids"],
        json!([format!("sha256:{}", sha256(&unpacked))])
    );
    // The header of a tar entry, and what follows it.
    assert!(unpacked.starts_with(b"plugin.wasm\0"));
    let module = std::fs::read(
        std::path::Path::new(env!("CARGO_WORKSPACE_DIR"))
            .join("target/wasm32-wasip1/release/gatepass.wasm"),
    );
    assert_eq!(unpacked.get(512..512 + module.as_ref().unwrap().len()), Some(&module.unwrap()[..]));
}

fn sha256(bytes: &[u8]) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes);
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}
