use wasmi::{Engine, Instance, Linker, Module, Store};

use crate::rewrite::rewrite;

/// A long function, `a_long_one`, that is called by one of whatever name, and a short one.
fn module(caller: &str) -> Vec<u8> {
    let long = "(i32.add (i32.const 1)".repeat(40);
    let text = format!(
        r#"(module
            (import "host" "seven" (func $seven (result i32)))
            (type $word (func (param i32) (result i32)))
            (table 1 1 funcref)
            (elem (i32.const 0) $short)
            (memory 1)
            (func $short (param i32) (result i32) (i32.add (local.get 0) (call $seven)))
            (func $a_long_one (type $word) (local i64 f64)
                (local.set 1 (i64.const -9223372036854775808))
                (local.set 2 (f64.const 0.5))
                (block (br_table 0 0 0 (local.get 0)))
                (memory.fill (i32.const 0) (i32.const 3) (i32.const 4))
                {long} (i32.load8_u (i32.trunc_sat_f64_u (local.get 2))) {end})
            (func ${caller} (export "run") (param i32) (result i32)
                (i32.add
                    (i32.add (call $a_long_one (local.get 0)) (call $short (local.get 0)))
                    (call_indirect (type $word) (local.get 0) (i32.const 0)))))"#,
        end = ")".repeat(40),
    );
    wat::parse_str(text).unwrap()
}

fn run(bytes: &[u8], argument: i32) -> i32 {
    let engine = Engine::default();
    let mut store = Store::new(&engine, ());
    let mut linker = Linker::new(&engine);
    linker.func_wrap("host", "seven", || 7).unwrap();
    let module = Module::new(&engine, bytes).unwrap();
    let instance: Instance = linker.instantiate_and_start(&mut store, &module).unwrap();
    let run = instance.get_typed_func::<i32, i32>(&store, "run").unwrap();
    run.call(&mut store, argument).unwrap()
}

/// How often the first two bytes are in a module: a call of the function with that index.
fn calls(bytes: &[u8], index: u8) -> usize {
    bytes.windows(2).filter(|it| *it == [0x10, index]).count()
}

#[test]
fn calls_go_through_the_table_and_do_the_same() {
    let original = module("main");
    let rewritten = rewrite(&original, &[]).unwrap();
    assert_eq!(run(&original, 5), 67);
    assert_eq!(run(&rewritten, 5), 67);
    assert_eq!((calls(&original, 2), calls(&rewritten, 2)), (1, 0));
    assert_eq!((calls(&original, 1), calls(&rewritten, 1)), (1, 1), "a short one");
    assert_eq!((calls(&original, 0), calls(&rewritten, 0)), (1, 1), "an import");
}

#[test]
fn what_is_hot_calls_as_before() {
    for name in [
        "_ZN4p25610arithmetic5field12FieldElement4sqrt17h0c962bfd3acd4739E",
        "_ZN78_$LT$k256..arithmetic..ProjectivePoint$u20$as$u20$group..Group$GT$6doubleE",
        "_RNvNtCs5xJoy1xWQ_3rsa3key6verify",
    ] {
        assert_eq!(calls(&rewrite(&module(name), &[]).unwrap(), 2), 1, "{name}");
    }
    let name = "_ZN75_$LT$gatepass..bearer..Sources$u20$as$u20$core..clone..Clone$GT$5cloneE";
    assert_eq!(calls(&rewrite(&module(name), &["gatepass::bearer"]).unwrap(), 2), 1, "{name}");
    let name = "_ZN8gatepass6bearer7sources12TokenSources8sanitize17hc5b405044d54c533E";
    assert_eq!(calls(&rewrite(&module(name), &["gatepass::bearer"]).unwrap(), 2), 1, "{name}");
    let error =
        rewrite(&module(name), &["gatepass::bearer", "gatepass::rules"]).unwrap_err().to_string();
    assert_eq!(error, "no function is in gatepass::rules");
    for name in
        ["_ZN4core3str9traversal4nextE", "_ZN8universa2goE", "_ZN8gatepass6config5whole8settingsE"]
    {
        assert_eq!(calls(&rewrite(&module(name), &[]).unwrap(), 2), 0, "{name}");
    }
}

#[test]
fn what_is_no_such_module_is_an_error() {
    let whole = module("main");
    let error = |bytes: &[u8]| rewrite(bytes, &[]).unwrap_err().to_string();
    assert!(error(b"no module").contains("magic"), "{}", error(b"no module"));
    assert_eq!(error(&wat::parse_str("(module)").unwrap()), "not one table");
    assert_eq!(
        error(&wat::parse_str("(module (table 1 1 funcref))").unwrap()),
        "its table is empty"
    );
    let rewritten = rewrite(&whole, &[]).unwrap();
    assert_eq!(error(&rewritten), "its functions have no names");
    for length in 0..whole.len() {
        assert!(!error(&whole[..length]).is_empty());
    }
}
