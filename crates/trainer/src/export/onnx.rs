//! ONNX, which ONNX Runtime and many others run.

use model::inference::{Graph, Node, Operation, Parameter};
use model::{IMAGE_CHANNELS, IMAGE_SIZE};
use prost::Message;

use super::{Description, protobuf};
use crate::run::CLASSES;
use crate::training::TrainError;

/// The version of the format, and that of the operators: of 2021, so that old programs read them too.
const VERSIONS_OF_2021: (i64, i64) = (8, 13);
/// GELU is an operator since 2023.
const VERSIONS_OF_2023: (i64, i64) = (9, 20);

/// The bytes of a file.
pub fn to_bytes(graph: &Graph, description: &Description) -> Result<Vec<u8>, TrainError> {
    let initializer = graph.parameters.iter().map(tensor);
    let gelu = (graph.nodes.iter()).any(|node| node.operation == Operation::Gelu);
    let (ir_version, operators_version) = if gelu {
        VERSIONS_OF_2023
    } else {
        VERSIONS_OF_2021
    };
    let image = [IMAGE_CHANNELS, IMAGE_SIZE, IMAGE_SIZE];
    let model = protobuf::Model {
        ir_version: Some(ir_version),
        producer_name: Some("trainer".to_owned()),
        producer_version: Some(env!("CARGO_PKG_VERSION").to_owned()),
        graph: Some(protobuf::Graph {
            node: graph.nodes.iter().map(node).collect(),
            name: Some("classifier".to_owned()),
            initializer: initializer.collect::<Result<_, _>>()?,
            input: vec![batch_of(Graph::INPUT, &image)],
            output: vec![batch_of(&graph.output, &[CLASSES])],
        }),
        opset_import: vec![protobuf::OperatorSetId {
            domain: Some(String::new()),
            version: Some(operators_version),
        }],
        metadata_props: (description.entries())
            .map(|(key, value)| protobuf::StringStringEntry {
                key: Some(key.to_owned()),
                value: Some(value.to_owned()),
            })
            .collect(),
    };
    Ok(model.encode_to_vec())
}

/// Numbers of a file are whole numbers of 64 bits.
fn int(size: usize) -> i64 {
    i64::try_from(size).unwrap_or(i64::MAX)
}

/// A value of `[batch, ...]` with any number of images.
fn batch_of(name: &str, rest: &[usize]) -> protobuf::ValueInfo {
    let batch = protobuf::Dimension {
        dim_value: None,
        dim_param: Some("batch".to_owned()),
    };
    let rest = rest.iter().map(|size| protobuf::Dimension {
        dim_value: Some(int(*size)),
        dim_param: None,
    });
    protobuf::ValueInfo {
        name: Some(name.to_owned()),
        r#type: Some(protobuf::Type {
            tensor_type: Some(protobuf::TensorType {
                elem_type: Some(protobuf::FLOAT),
                shape: Some(protobuf::TensorShape {
                    dim: std::iter::once(batch).chain(rest).collect(),
                }),
            }),
        }),
    }
}

fn tensor(parameter: &Parameter) -> Result<protobuf::Tensor, TrainError> {
    let values = (parameter.values.to_data().try_to_vec::<f32>()).map_err(TrainError::device)?;
    Ok(protobuf::Tensor {
        dims: parameter.shape.iter().map(|size| int(*size)).collect(),
        data_type: Some(protobuf::FLOAT),
        name: Some(parameter.name.clone()),
        raw_data: Some(
            values
                .iter()
                .flat_map(|value| value.to_le_bytes())
                .collect(),
        ),
    })
}

fn node(node: &Node) -> protobuf::Node {
    use protobuf::Attribute;
    let square = |size: usize| vec![int(size); 2];
    let (kind, attribute) = match node.operation {
        Operation::Conv {
            kernel,
            stride,
            padding,
        } => (
            "Conv",
            vec![
                Attribute::ints("kernel_shape", square(kernel)),
                Attribute::ints("pads", vec![int(padding); 4]),
                Attribute::ints("strides", square(stride)),
            ],
        ),
        Operation::Relu => ("Relu", Vec::new()),
        Operation::Gelu => ("Gelu", Vec::new()),
        Operation::MaxPool { size } => (
            "MaxPool",
            vec![
                Attribute::ints("kernel_shape", square(size)),
                Attribute::ints("strides", square(size)),
            ],
        ),
        Operation::Add => ("Add", Vec::new()),
        Operation::Mul => ("Mul", Vec::new()),
        Operation::GlobalAveragePool => ("GlobalAveragePool", Vec::new()),
        Operation::GlobalMaxPool => ("GlobalMaxPool", Vec::new()),
        Operation::Flatten => ("Flatten", vec![Attribute::int("axis", 1)]),
        Operation::Gemm => ("Gemm", vec![Attribute::int("transB", 1)]),
    };
    protobuf::Node {
        input: node.inputs.clone(),
        output: vec![node.output.clone()],
        name: Some(format!("{kind}_{}", node.output)),
        op_type: Some(kind.to_owned()),
        attribute,
    }
}
