//! Whatever the bytes, reading ends with a value or an error, soon and in little memory.

use super::{SplitMix, bytes_of, file_of, read_bytes, sample};
use crate::{Opaque, Value};

#[test]
fn a_file_cut_at_any_byte_is_refused() {
    let whole = bytes_of(&sample());
    for length in 0..whole.len() {
        let error = read_bytes(&whole[..length]).expect_err("it is cut");
        assert!(error.contains("`x.pt` is cut short"), "at {length}: {error}");
    }
    assert!(read_bytes(&whole).is_ok());
}

#[test]
fn a_changed_byte_is_found_or_does_not_matter() {
    let whole = bytes_of(&sample());
    let mut random = SplitMix(1);
    let mut found = 0;
    for at in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 1 << random.below(8);
        match read_bytes(&bytes) {
            Ok(value) => assert_eq!(bytes_of(&value), whole, "byte {at} changed the content unnoticed"),
            Err(_) => found += 1,
        }
    }
    assert!(found > 1000, "only {found} were found");
}

/// The class of what this pickle is, which must be opaque.
fn opaque(pickle: &[u8]) -> String {
    match read_bytes(&file_of(pickle, &[])) {
        Ok(Value::Opaque(Opaque { class, state_dict: None })) => class,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_would_run_a_program_is_named_and_not_run() {
    let folder = tempfile::tempdir().unwrap();
    let proof = folder.path().join("executed");
    let command = format!("touch {}", proof.display());
    let text = [&[b'X'][..], &(command.len() as u32).to_le_bytes(), command.as_bytes()].concat();
    let call = |head: &[u8], tail: &[u8]| opaque(&[head, &text, tail].concat());
    for class in ["os.system", "posix.system", "builtins.eval", "subprocess.Popen", "runpy._run_code"] {
        let (module, name) = class.split_once('.').unwrap();
        let global = format!("c{module}\n{name}\n");
        // As a function, a class of either kind, with keywords, and as old protocols have it.
        assert_eq!(call(&[b"\x80\x02", global.as_bytes()].concat(), b"\x85R."), class);
        assert_eq!(call(&[b"\x80\x02", global.as_bytes()].concat(), b"\x85\x81."), class);
        assert_eq!(call(&[b"\x80\x04", global.as_bytes()].concat(), b"\x85}\x92."), class);
        assert_eq!(call(&[b"(", global.as_bytes()].concat(), b"o."), class);
        assert_eq!(call(b"(", format!("i{module}\n{name}\n.").as_bytes()), class);
        // Called again with what it gave, given a state, filled, and asked for from elsewhere.
        assert_eq!(call(&[b"\x80\x02", global.as_bytes()].concat(), b"\x85R)R}b."), class);
        assert_eq!(call(&[b"\x80\x02", global.as_bytes()].concat(), b"\x85Q0\x8c\x01aq\x000cx\ny\n."), "x.y");
    }
    assert_eq!(opaque(b"\x80\x04\x8c\x02os\x8c\x06system\x93)R."), "os.system");
    assert_eq!(opaque(b"\x80\x02cos\nsystem\n."), "os.system");
    assert_eq!(opaque(b"\x80\x02\x82\x07)R."), "copyreg extension 7");
    assert_eq!(opaque(b"\x80\x02K\x07Q."), "persistent id");
    assert_eq!(opaque(b"P7\n."), "persistent id");
    assert!(!proof.exists());
}

#[test]
fn known_functions_given_something_opaque_make_something_opaque() {
    for (pickle, class) in [
        (&b"\x80\x02ccollections\nOrderedDict\ncos\nsystem\n\x85R."[..], "collections.OrderedDict"),
        (b"\x80\x02ctorch\ndevice\ncos\nsystem\n\x85R.", "torch.device"),
        (b"\x80\x02c_codecs\nencode\ncos\nsystem\nX\x06\0\0\0latin1\x86R.", "_codecs.encode"),
        (b"\x80\x02ccopyreg\n_reconstructor\ncmy\nThing\ncbuiltins\nobject\nN\x87R.", "my.Thing"),
        (b"\x80\x02ctorch.nn.parameter\nParameter\ncmy\nThing\n)R\x85\x81.", "my.Thing"),
    ] {
        // What a parameter is made of is what it is.
        match read_bytes(&file_of(pickle, &[])).unwrap() {
            Value::Opaque(Opaque { class: found, .. }) => assert_eq!(found, class),
            other => panic!("{other:?}"),
        }
    }
    let error = read_bytes(&file_of(b"\x80\x02ctorch\ndevice\n]\x85R.", &[])).unwrap_err();
    assert!(error.contains("is damaged"), "of data alone it is damage: {error}");
}

#[test]
fn text_that_would_disturb_a_terminal_is_escaped() {
    let value = read_bytes(&file_of(b"\x80\x02cos\n\x1b[2Jx\n.", &[])).unwrap();
    let error = value.field().as_i64().unwrap_err().to_string();
    assert!(error.contains("\\u{1b}") && !error.contains('\x1b'), "{error}");
}

#[test]
fn long_names_put_together_again_and_again_are_stopped() {
    let mut pickle = b"\x80\x04]".to_vec();
    for number in 0..2 {
        pickle.extend(b"X\x00\x00\x10\x00");
        pickle.extend(vec![b'a'; 1 << 20]);
        pickle.extend([b'q', number, b'0']);
    }
    for _ in 0..500_000 {
        pickle.extend(b"h\x00h\x01\x93a");
    }
    pickle.push(b'.');
    let error = read_bytes(&file_of(&pickle, &[])).unwrap_err();
    assert!(error.contains("repeats itself"), "{error}");
}

/// A module whose `_modules` are `children`, an expression that leaves a dict.
fn module_of(children: &[u8]) -> Vec<u8> {
    let text = |text: &str| [&[0x8c, text.len() as u8][..], text.as_bytes()].concat();
    [
        b"\x80\x04cnet\nNet\n)\x81q\x00}(".to_vec(),
        text("_parameters"),
        b"}".to_vec(),
        text("_modules"),
        children.to_vec(),
        b"ub.".to_vec(),
    ]
    .concat()
}

#[test]
fn modules_in_circles_are_stopped() {
    assert!(matches!(
        read_bytes(&file_of(&module_of(b"}"), &[])),
        Ok(Value::Opaque(Opaque { state_dict: Some(tensors), .. })) if tensors.is_empty()
    ));
    let own_child = module_of(b"}\x8c\x01ah\x00s");
    let error = read_bytes(&file_of(&own_child, &[])).unwrap_err();
    assert!(error.contains("nested deeper than 128"), "{error}");
    let twice = module_of(b"}(\x8c\x01ah\x00\x8c\x01bh\x00u");
    assert!(read_bytes(&file_of(&twice, &[])).is_err());
}

#[test]
fn objects_in_circles_are_opaque() {
    // Its own state, its own argument, its own item and its own key.
    for pickle in [
        &b"\x80\x02cmy\nThing\n)\x81q\x00}X\x01\0\0\0ah\x00sb."[..],
        b"\x80\x02cmy\nThing\nq\x00h\x00\x85R.",
        b"\x80\x02cmy\nThing\nq\x00h\x00b.",
        b"\x80\x02cmy\nThing\n)\x81q\x00h\x00b.",
    ] {
        assert_eq!(opaque(pickle), "my.Thing");
    }
    let error = read_bytes(&file_of(b"\x80\x02cmy\nThing\n)\x81q\x00h\x00a.", &[])).unwrap_err();
    assert!(error.contains("nested deeper than 128"), "{error}");
    let error = read_bytes(&file_of(b"\x80\x02cmy\nThing\n)\x81q\x00K\x01h\x00s.", &[])).unwrap_err();
    assert!(error.contains("nested deeper than 128"), "{error}");
}

#[test]
fn references_that_double_at_each_level_are_stopped() {
    // [a, a] of [b, b] of …, 100 levels of doubling in a few hundred bytes.
    let mut pickle = b"\x80\x02]q\x00".to_vec();
    for level in 0..100_u8 {
        pickle.extend([b'h', level, b'h', level, 0x86, b'q', level + 1]);
    }
    pickle.push(b'.');
    let error = read_bytes(&file_of(&pickle, &[])).unwrap_err();
    assert!(error.contains("repeats itself"), "{error}");
}

#[test]
fn a_long_text_referred_to_again_and_again_is_stopped() {
    let mut pickle = b"\x80\x02X\x00\x00\x10\x00".to_vec();
    pickle.extend(vec![b'a'; 1 << 20]);
    pickle.extend(b"q\x000](");
    for _ in 0..100_000 {
        pickle.extend(b"h\x00");
    }
    pickle.extend(b"e.");
    let error = read_bytes(&file_of(&pickle, &[])).unwrap_err();
    assert!(error.contains("repeats itself"), "{error}");
}

#[test]
fn nesting_without_end_is_stopped() {
    let mut deep = b"\x80\x02".to_vec();
    deep.extend(vec![b']'; 100_000]);
    deep.extend(vec![b'a'; 99_999]);
    deep.push(b'.');
    let own_item = b"\x80\x02]q\x00h\x00a.";
    for pickle in [&deep[..], own_item] {
        let error = read_bytes(&file_of(pickle, &[])).unwrap_err();
        assert!(error.contains("nested deeper than 128"), "{error}");
    }
}

/// A pickle of one float tensor; `ints` of up to 8 bytes in pickle's own form.
fn tensor_pickle(len: i64, offset: i64, size: &[i64], stride: &[i64]) -> Vec<u8> {
    let mut out =
        b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n((X\x07\0\0\0storagectorch\nFloatStorage\n".to_vec();
    let int = |out: &mut Vec<u8>, number: i64| {
        out.extend([0x8a, 8]);
        out.extend(number.to_le_bytes());
    };
    out.extend(b"X\x01\0\0\x000X\x03\0\0\0cpu");
    int(&mut out, len);
    out.extend(b"tQ");
    int(&mut out, offset);
    for numbers in [size, stride] {
        out.push(b'(');
        for number in numbers {
            int(&mut out, *number);
        }
        out.push(b't');
    }
    out.extend(b"\x89ccollections\nOrderedDict\n)RtR.");
    out
}

#[test]
fn a_tensor_cannot_reach_beyond_its_storage() {
    let storage = [0; 24]; // six floats
    let read = |len, offset, size: &[i64], stride: &[i64]| {
        read_bytes(&file_of(&tensor_pickle(len, offset, size, stride), &[&storage]))
    };
    assert!(read(6, 0, &[2, 3], &[3, 1]).is_ok());
    assert!(read(6, 5, &[1], &[i64::MAX]).is_ok(), "the step of a single element is never taken");
    assert!(read(6, 0, &[100], &[0]).is_ok(), "elements may repeat");
    assert!(read(6, 0, &[0, 1 << 40], &[1, 1]).is_ok(), "no elements reach nowhere");
    for (len, offset, size, stride) in [
        (6, 0, &[7][..], &[1][..]),
        (6, 1, &[2, 3], &[3, 1]),
        (6, -1, &[1], &[1]),
        (6, 0, &[-1], &[1]),
        (6, 5, &[2], &[-1]),
        (6, 0, &[2, 3], &[1]),
        (6, 0, &[2], &[i64::MAX]),
        (6, 0, &[i64::MAX, i64::MAX], &[0, 0]),
        (6, 0, &[1 << 40], &[0]),
        (6, 0, &[0, i64::MAX, i64::MAX], &[1, 1, 1]),
        (6, 7, &[0], &[1]),
        (7, 0, &[1], &[1]),
        (5, 0, &[1], &[1]),
        (i64::MAX, 0, &[1], &[1]),
        (-1, 0, &[1], &[1]),
        (6, 0, &[1; 65], &[1; 65]),
    ] {
        let error = read(len, offset, size, stride).expect_err("it does not fit");
        assert!(error.contains("is damaged"), "{len} {offset} {size:?} {stride:?}: {error}");
    }
}

#[test]
fn bools_other_than_0_and_1_become_1() {
    let pickle = tensor_pickle(3, 0, &[3], &[1]);
    let text = String::from_utf8_lossy(&pickle).into_owned();
    assert!(text.contains("FloatStorage"));
    let at = pickle.windows(12).position(|window| window == b"FloatStorage").unwrap();
    let mut pickle = pickle;
    pickle.splice(at..at + 5, *b"Bool");
    let value = read_bytes(&file_of(&pickle, &[&[0, 7, 255]])).unwrap();
    assert_eq!(super::hex(value.field().as_tensor().unwrap()), "000101");
}

#[test]
fn entries_that_lie_over_each_other_are_refused() {
    // The data of `data/0` begin with the header of `data/1`, whose data are the rest of them: each
    // of the two lies in the file, but together they hold more than it does.
    let mut data = b"PK\x03\x04".to_vec();
    data.extend([0; 22]);
    data.extend([14, 0, 0, 0]);
    data.extend(b"archive/data/1");
    let header = data.len() as u64;
    data.extend([0; 2000]);
    let mut bytes = Vec::new();
    let mut archive = crate::archive::ArchiveWriter::new(&mut bytes);
    archive.bytes("archive/data.pkl", b"\x80\x02N.").unwrap();
    archive.bytes("archive/data/0", &data).unwrap();
    archive.list("archive/data/1", 192, 2000, crc32fast::hash(&data[header as usize..]));
    archive.finish().unwrap();
    assert_eq!(bytes[192..206], data[..14], "the header stands where the directory says");
    let error = read_bytes(&bytes).unwrap_err();
    assert!(error.contains("\"archive/data/1\" lies outside of it"), "{error}");
}

#[test]
fn other_files_are_told_apart() {
    for (bytes, word) in [
        (&b""[..], "cut short (it is empty)"),
        (b"hello, this is a text", "does not begin as a file of torch.save does"),
        (b"PK", "cut short"),
    ] {
        let error = read_bytes(bytes).unwrap_err();
        assert!(error.contains(word), "{error}");
    }
}
