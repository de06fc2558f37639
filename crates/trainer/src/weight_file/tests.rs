use super::*;

fn path(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/files");
    folder.join(name)
}

fn load(name: &str) -> Result<Vec<NamedTensor>, WeightFileError> {
    tensors(read(&path(name))?, &path(name))
}

fn floats<'a>(tensors: &'a [NamedTensor], name: &str) -> (&'a [usize], &'a [f32]) {
    let tensor = tensors.iter().find(|tensor| tensor.name == name).unwrap();
    match &tensor.values {
        Values::Float(values) => (&tensor.shape, values),
        Values::Other(kind) => panic!("{name} is {kind}"),
    }
}

#[test]
fn pytorchs_state_dict_reads_with_views_and_other_precisions() {
    let tensors = load("state_dict.pt").unwrap();
    assert_eq!(
        floats(&tensors, "plain"),
        (&[2, 3][..], &[0.0, 1.0, 2.0, 3.0, 4.0, 5.0][..])
    );
    assert_eq!(
        floats(&tensors, "turned"),
        (&[3, 2][..], &[0.0, 3.0, 1.0, 4.0, 2.0, 5.0][..])
    );
    assert_eq!(floats(&tensors, "half"), (&[2][..], &[0.5, -2.0][..]));
    assert_eq!(tensors[3].values, Values::Other("int64".to_owned()));
}

#[test]
fn a_state_dict_inside_a_checkpoint_is_found() {
    let tensors = load("nested.pt").unwrap();
    assert_eq!(tensors.len(), 1);
    assert_eq!(floats(&tensors, "plain").0, [2, 3]);
}

#[test]
fn what_wrappers_put_before_every_name_is_taken_off_and_nothing_else_is() {
    let unwrapped = |names: &[&str]| -> Vec<String> {
        let named = names.iter().map(|name| NamedTensor {
            name: (*name).to_owned(),
            shape: vec![1],
            values: Values::Float(vec![0.0]),
        });
        let mut tensors: Vec<NamedTensor> = named.collect();
        unwrap_names(&mut tensors);
        tensors.into_iter().map(|one| one.name).collect()
    };
    assert_eq!(
        unwrapped(&["module.conv.weight", "module.conv.bias"]),
        ["conv.weight", "conv.bias"]
    );
    assert_eq!(unwrapped(&["module._orig_mod.a"]), ["a"]);
    assert_eq!(unwrapped(&["module.a", "b"]), ["module.a", "b"]);
    assert!(unwrapped(&[]).is_empty());
}

#[test]
fn a_pickle_that_wants_to_call_anything_is_refused_by_the_name_of_what() {
    for (file, words) in [
        ("code.pt", "posix.system"),
        ("module.pt", "torch.nn.modules.linear.Linear"),
    ] {
        let message = load(file).unwrap_err().to_string();
        assert!(message.contains(words), "{message}");
        assert!(
            message.contains(file) && message.contains("state_dict()"),
            "{message}"
        );
    }
}

#[test]
fn what_is_no_file_of_weights_is_named() {
    for bytes in [
        &b""[..],
        b"text",
        b"PK",
        b"\x89PNG\r\n\x1a\n",
        b"PK\x03\x04",
        b"NRUB",
    ] {
        let error = tensors(bytes.to_vec(), Path::new("some.file")).unwrap_err();
        assert!(error.to_string().starts_with("some.file: "), "{error}");
    }
    let old = tensors(b"\x80\x02\x8a\x0a".to_vec(), Path::new("old.pt")).unwrap_err();
    assert!(old.to_string().contains("newer"), "{old}");
}

#[test]
fn damage_is_refused_or_changes_numbers_only() {
    let whole = read(&path("state_dict.pt")).unwrap();
    for place in 0..whole.len() {
        for bit in [1, 0x80] {
            let mut bytes = whole.clone();
            bytes[place] ^= bit;
            if let Ok(tensors) = tensors(bytes, Path::new("damaged.pt")) {
                let numbers = |t: &NamedTensor| t.shape.iter().product::<usize>();
                assert!(tensors.iter().map(numbers).sum::<usize>() <= whole.len());
            }
        }
        assert!(
            tensors(whole[..place].to_vec(), Path::new("cut.pt")).is_err(),
            "{place}"
        );
    }
}

/// A view with strides of zero asks for a number again and again.
#[test]
fn a_short_file_cannot_ask_for_many_numbers() {
    let pickle = b"\x80\x02}X\x01\x00\x00\x00wctorch._utils\n_rebuild_tensor_v2\n((X\x07\x00\x00\x00storage\
        ctorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x01tQK\x00J\x00\x00\x00\x7f\x85K\x00\
        \x85\x89}tRs.";
    let mut bytes = Vec::new();
    let mut archive = rawzip::ZipArchiveWriter::new(&mut bytes);
    for (name, content) in [("a/data.pkl", &pickle[..]), ("a/data/0", &[0; 4])] {
        let (mut entry, config) = archive
            .new_file(name)
            .compression_method(rawzip::CompressionMethod::STORE)
            .start()
            .unwrap();
        let mut writer = config.wrap(&mut entry);
        std::io::Write::write_all(&mut writer, content).unwrap();
        let (_, descriptor) = writer.finish().unwrap();
        entry.finish(descriptor).unwrap();
    }
    archive.finish().unwrap();
    let error = tensors(bytes, Path::new("bomb.pt")).unwrap_err();
    assert!(
        error.to_string().contains("more numbers than the file"),
        "{error}"
    );
}

/// A file of more bytes than any memory has: who reads it whole fails otherwise than with its size.
#[test]
fn a_file_that_is_too_long_is_not_read_and_one_without_end_is_no_file() {
    let home = tempfile::tempdir().unwrap();
    let long = home.path().join("long.pt");
    let file = std::fs::File::create(&long).unwrap();
    file.set_len(1 << 40).unwrap();
    let message = read(&long).unwrap_err().to_string();
    assert!(
        message.contains("long.pt: it has 1099511627776 bytes; files of up to 536870912"),
        "{message}"
    );
    let message = read(home.path()).unwrap_err().to_string();
    assert!(message.contains("this is not a file"), "{message}");
    #[cfg(unix)]
    assert!(matches!(
        read(Path::new("/dev/zero")),
        Err(WeightFileError::NotAFile(_))
    ));
}

#[test]
fn what_does_not_fit_is_named_by_its_shape_or_by_its_type() {
    let device = burn::tensor::Device::flex();
    let network = model::Network::init(model::NetworkKind::SimpleCnn, 10, 0, &device);
    let tensor = |name: &str, shape: &[usize], values| NamedTensor {
        name: name.to_owned(),
        shape: shape.to_vec(),
        values,
    };
    let tensors = vec![
        tensor("conv1.bias", &[6], Values::Other("int64".to_owned())),
        tensor("conv2.bias", &[1], Values::Float(vec![0.5])),
    ];
    let message = fit(network.unwrap(), tensors, Path::new("a.pt"))
        .unwrap_err()
        .to_string();
    for words in [
        "1 of another shape: conv2.bias ([1] in place of [16])",
        "1 of another type of numbers: conv1.bias (int64 of [6] in place of floating-point numbers of [6])",
    ] {
        assert!(message.contains(words), "{message}");
    }
}
