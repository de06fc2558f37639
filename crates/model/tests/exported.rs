//! Every network of the zoo comes back from an exported file, and no other file does.
#![allow(clippy::unwrap_used)]

use burn::store::{ModuleSnapshot, SafetensorsStore};
use burn::tensor::activation::softmax;
use burn::tensor::{Device, Tensor, TensorData};
use model::{ExportedError, ExportedNetwork, Network, NetworkKind, Picture, PictureError};

const CLASSES: [&str; 3] = ["cat", "dog", "frog"];
const MEAN: [f32; 3] = [0.4, 0.5, 0.6];
const STD: [f32; 3] = [0.25, 0.5, 0.125];

/// A file of `network` with the texts of `metadata`.
fn file(network: &Network, metadata: &[(&str, &str)]) -> Vec<u8> {
    let mut store = SafetensorsStore::from_bytes(None).skip_enum_variants(true);
    for (name, text) in metadata {
        store = store.metadata(*name, *text);
    }
    network.save_into(&mut store).unwrap();
    store.get_bytes().unwrap()
}

fn described(network: &str) -> [(&str, &str); 4] {
    [
        ("classes", r#"["cat", "dog", "frog"]"#),
        ("mean", "[0.4, 0.5, 0.6]"),
        ("network", network),
        ("std", "[0.25, 0.5, 0.125]"),
    ]
}

fn build(kind: NetworkKind) -> Network {
    Network::init(kind, CLASSES.len(), 5, &Device::flex()).unwrap()
}

/// 32 by 32 pixels in red, green and blue, and what a network takes of them.
fn picture() -> (Picture, Tensor<4>) {
    let samples: Vec<u8> = (0..32 * 32 * 3).map(|i| (i * 7 % 256) as u8).collect();
    let number = |c: usize, i: usize| (f32::from(samples[3 * i + c]) / 255.0 - MEAN[c]) / STD[c];
    let numbers = (0..3).flat_map(|c| (0..1024).map(move |i| (c, i)));
    let numbers: Vec<f32> = numbers.map(|(c, i)| number(c, i)).collect();
    let tensor = Tensor::from_data(TensorData::new(numbers, [1, 3, 32, 32]), &Device::flex());
    (Picture::new(32, 32, &samples).unwrap(), tensor)
}

#[test]
fn each_network_answers_as_before_with_the_names_and_the_normalisation_of_its_file() {
    let (picture, tensor) = picture();
    for kind in NetworkKind::ALL {
        let network = build(kind);
        let bytes = file(&network, &described(kind.name()));
        let exported = ExportedNetwork::from_safetensors(bytes, &Device::flex()).unwrap();
        assert_eq!(exported.kind(), kind);
        let answer = exported.classify(&picture).unwrap();
        assert!(answer.is_sorted_by(|(_, a), (_, b)| a >= b), "{answer:?}");
        let expected = softmax(network.folded().forward(tensor.clone()).unwrap(), 1);
        let expected = expected.into_data().try_to_vec::<f32>().unwrap();
        for (class, p) in CLASSES.iter().zip(expected) {
            let (_, found) = answer.iter().find(|(name, _)| name == class).unwrap();
            assert!((found - p).abs() < 1e-5, "{}: {found} for {p}", kind.name());
        }
    }
}

#[test]
fn a_file_that_does_not_hold_what_it_says_is_refused_by_what_is_wrong() {
    let kind = NetworkKind::SimpleCnn;
    let (network, good) = (build(kind), described(kind.name()));
    let refused = |bytes: Vec<u8>| {
        ExportedNetwork::from_safetensors(bytes, &Device::flex())
            .map(|_| ())
            .unwrap_err()
    };
    let without = |name: &str| {
        let rest = good.into_iter().filter(|(other, _)| *other != name);
        refused(file(&network, &rest.collect::<Vec<_>>()))
    };
    for name in ["classes", "mean", "network", "std"] {
        assert_eq!(without(name), ExportedError::Metadata(name));
    }
    let with = |name: &str, text: &str| {
        let texts = good.map(|(other, old)| (other, if other == name { text } else { old }));
        refused(file(&network, &texts))
    };
    assert_eq!(with("mean", "[0.5]"), ExportedError::Metadata("mean"));
    assert_eq!(
        with("mean", "[1e39, 0, 0]"),
        ExportedError::Metadata("mean")
    );
    assert_eq!(with("std", "[1, 0, 1]"), ExportedError::Metadata("std"));
    assert!(matches!(
        with("network", "absent"),
        ExportedError::Network(_)
    ));
    assert!(matches!(
        with("classes", "[\"one\"]"),
        ExportedError::Network(_)
    ));
    let many = serde_json::json!(vec![""; 2_000]).to_string();
    assert_eq!(with("classes", &many), ExportedError::Metadata("classes"));
    for wrong in [
        with("network", "resnet20"),
        with("classes", "[\"a\", \"b\"]"),
    ] {
        assert!(matches!(wrong, ExportedError::Weights { .. }), "{wrong}");
    }
    let whole = file(&network, &good);
    for length in [0, 7, 100, whole.len() - 1] {
        let error = refused(whole[..length].to_vec());
        assert!(matches!(error, ExportedError::Format(_)), "{error}");
    }
    let mut infinite = whole;
    let last = infinite.len() - 4;
    infinite[last..].copy_from_slice(&f32::INFINITY.to_le_bytes());
    assert!(refused(infinite).to_string().contains("finite"));
}

#[test]
fn a_picture_has_as_many_samples_as_it_says() {
    for (width, height, bytes) in [
        (0, 0, 0),
        (2, 2, 20),
        (2, 2, 5),
        (usize::MAX, 2, 6),
        (3, 0, 9),
    ] {
        let error = Picture::new(width, height, &vec![0; bytes]).unwrap_err();
        assert_eq!(
            error,
            PictureError::Samples {
                width,
                height,
                bytes
            }
        );
    }
    let white = |samples: &[u8]| {
        let small = Picture::new(1, 1, samples).unwrap().middle().unwrap();
        small.iter().all(|p| [p.r, p.g, p.b] == [255; 3])
    };
    assert!(white(&[9, 0]) && white(&[9, 9, 9, 0]) && white(&[255]) && !white(&[9, 255]));
}
