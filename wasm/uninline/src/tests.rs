use wasmi::{Engine, Global, Instance, Linker, Memory, MemoryType, Module, Mutability, Store, Val};

use crate::rewrite::{CRYPTOGRAPHY, rewrite};

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
    linker.func_wrap("host", "eight", || 8).unwrap();
    let memory = Memory::new(&mut store, MemoryType::new(1, None)).unwrap();
    linker.define("host", "memory", memory).unwrap();
    let number = Global::new(&mut store, Val::I32(3), Mutability::Const);
    linker.define("host", "number", number).unwrap();
    let module = Module::new(&engine, bytes).unwrap();
    let instance: Instance = linker.instantiate_and_start(&mut store, &module).unwrap();
    let run = instance.get_typed_func::<i32, i32>(&store, "run").unwrap();
    run.call(&mut store, argument).unwrap()
}

/// What comes before, beside and behind the calls, in one module each.
#[test]
fn whatever_else_a_module_has_stays_as_it_is() {
    let long = "(i32.add (i32.const 1)".repeat(40);
    let end = ")".repeat(40);
    for (case, table, fields, body) in [
        ("as before", "1", "", "(call $long (local.get 0))"),
        ("a maximum", "1 1", "", "(call $long (local.get 0))"),
        ("the largest maximum", "1 0xffffffff", "", "(call $long (local.get 0))"),
        ("a tail call", "1", "", "(return_call $long (call $long (local.get 0)))"),
        (
            "where nothing comes",
            "1",
            "",
            "(if (i32.eqz (local.get 0)) (then unreachable (call $long) drop))
                (call $long (local.get 0))",
        ),
        (
            "a start function",
            "1",
            "(func $begin (global.set $g (call $long (i32.const 2)))) (start $begin)",
            "(i32.add (global.get $g) (call $long (local.get 0)))",
        ),
        (
            "other segments",
            "3",
            "(elem func $long) (elem declare func $run) (elem (i32.const 1) $long $run)",
            "(ref.func $run) drop (call_indirect (type $word) (local.get 0) (i32.const 1))
                (call $long)",
        ),
        (
            "two memories",
            "1",
            "(memory $two 1) (data (memory $two) (i32.const 5) \"\\07\")",
            "(i32.add (i32.load8_u $two (i32.and (local.get 0) (i32.const 5)))
                (call $long (local.get 0)))",
        ),
    ] {
        let text = format!(
            r#"(module
                (type $word (func (param i32) (result i32)))
                (import "host" "seven" (func $seven (result i32)))
                (import "host" "memory" (memory $one 1))
                (import "host" "number" (global i32))
                (import "host" "eight" (func $eight (result i32)))
                (table {table} funcref)
                (global $g (mut i32) (i32.const 0))
                (elem (i32.const 0) $run)
                (func $long (type $word)
                    (i32.sub (call $eight) (i32.add {long} (local.get 0) {end} (call $seven))))
                {fields}
                (func $run (export "run") (type $word) {body}))"#,
        );
        let original = wat::parse_str(text).unwrap();
        let rewritten = rewrite(&original, &[]).unwrap();
        assert_ne!(rewritten.len(), original.len(), "{case}");
        for argument in [5, -9] {
            assert_eq!(run(&rewritten, argument), run(&original, argument), "{case}");
        }
    }
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
    for (fields, expected) in [
        (r#"(import "host" "table" (table 9 funcref))"#, "an imported table"),
        (r#"(import "host" "table" (table 9 funcref)) (table 1 1 funcref)"#, "an imported table"),
        ("(table 1 1 funcref) (table 1 1 funcref)", "not one table"),
        (r#"(table (export "table") 1 1 funcref)"#, "its table is exported"),
        // It would overwrite a new element.
        (
            "(table 1 9 funcref) (elem declare func $f)
                (func (drop (table.grow (ref.func $f) (i32.const 8))))",
            "it looks at its table",
        ),
        ("(table 1 1 funcref) (func (drop (table.size)))", "it looks at its table"),
        (
            "(table 1 1 funcref) (elem $e func $f)
                (func (table.init $e (i32.const 0) (i32.const 0) (i32.const 1)))",
            "it looks at its table",
        ),
    ] {
        let text = format!("(module {fields} (func $f) (elem (i32.const 0) func $f))");
        assert_eq!(error(&wat::parse_str(text).unwrap()), expected, "{fields}");
    }
    for table in ["(table 1 1 externref)", "(table i64 1 1 funcref)"] {
        let module = wat::parse_str(format!("(module {table})")).unwrap();
        assert_eq!(error(&module), "its table is not one of functions", "{table}");
    }
    let rewritten = rewrite(&whole, &[]).unwrap();
    assert_eq!(error(&rewritten), "its functions have no names");
    for length in 0..whole.len() {
        assert!(!error(&whole[..length]).is_empty());
    }
}

/// One that was renamed or is no longer used would be hot for nothing.
#[test]
fn each_crate_of_cryptography_is_in_the_build() {
    let lock = include_str!("../../../Cargo.lock");
    for name in CRYPTOGRAPHY {
        let line = format!("name = \"{}\"\n", name.replace('_', "-"));
        let as_it_is = format!("name = \"{name}\"\n");
        assert!(lock.contains(&line) || lock.contains(&as_it_is), "{name}");
    }
}
