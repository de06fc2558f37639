//! A network's inference, written down once and read in two ways: [`Compute`] does it on tensors, and
//! [`Graph`] notes its operations for other programs.

use burn::tensor::Tensor;

use crate::layers::{
    ConvBias2d, FoldedConv, FoldedNorm, Linear, Whitening, global_avg_pool, global_max_pool,
    max_pool,
};

/// What goes through a network layer by layer.
pub trait Interpreter {
    /// Images and what convolutions make of them, `[batch, channels, height, width]`.
    type Maps: Clone;
    /// What stands for an image after them, `[batch, features]`.
    type Features;

    /// A convolution without padding, its positive part, and the maximum of each `pool` by `pool` pixels.
    fn conv_relu_pool(&mut self, layer: &ConvBias2d, x: Self::Maps, pool: usize) -> Self::Maps;
    /// A convolution.
    fn conv(&mut self, layer: &FoldedConv, x: Self::Maps) -> Self::Maps;
    /// A convolution's positive part.
    fn conv_relu(&mut self, layer: &FoldedConv, x: Self::Maps) -> Self::Maps;
    /// The positive part of a convolution plus `around`.
    fn conv_add_relu(
        &mut self,
        layer: &FoldedConv,
        x: Self::Maps,
        around: Self::Maps,
    ) -> Self::Maps;
    /// The GELU of a whitening layer's convolution.
    fn whiten(&mut self, layer: &Whitening, x: Self::Maps) -> Self::Maps;
    /// The GELU of the maximum of each 2 by 2 pixels of a convolution.
    fn conv_pool_gelu(&mut self, layer: &FoldedConv, x: Self::Maps) -> Self::Maps;
    /// A convolution's GELU.
    fn conv_gelu(&mut self, layer: &FoldedConv, x: Self::Maps) -> Self::Maps;
    /// The GELU of a convolution plus `around`.
    fn conv_add_gelu(
        &mut self,
        layer: &FoldedConv,
        x: Self::Maps,
        around: Self::Maps,
    ) -> Self::Maps;
    /// The positive part of a normalisation that stands alone.
    fn norm_relu(&mut self, layer: &FoldedNorm, x: Self::Maps) -> Self::Maps;
    /// The maximum of each `size` by `size` pixels.
    fn max_pool(&mut self, x: Self::Maps, size: usize) -> Self::Maps;
    /// The sum of two.
    fn add(&mut self, x: Self::Maps, around: Self::Maps) -> Self::Maps;
    /// The mean over all pixels.
    fn global_avg_pool(&mut self, x: Self::Maps) -> Self::Features;
    /// The maximum over all pixels.
    fn global_max_pool(&mut self, x: Self::Maps) -> Self::Features;
    /// Every number of every channel, channel by channel.
    fn flatten(&mut self, x: Self::Maps) -> Self::Features;
    /// A linear layer.
    fn linear(&mut self, layer: &Linear, x: Self::Features) -> Self::Features;
    /// A linear layer's positive part.
    fn linear_relu(&mut self, layer: &Linear, x: Self::Features) -> Self::Features;
}

/// Computes on tensors.
#[derive(Debug, Clone, Copy)]
pub struct Compute;

impl Interpreter for Compute {
    type Maps = Tensor<4>;
    type Features = Tensor<2>;

    fn conv_relu_pool(&mut self, layer: &ConvBias2d, x: Tensor<4>, pool: usize) -> Tensor<4> {
        layer.forward_relu_pool(x, pool)
    }

    fn conv(&mut self, layer: &FoldedConv, x: Tensor<4>) -> Tensor<4> {
        layer.forward(x)
    }

    fn conv_relu(&mut self, layer: &FoldedConv, x: Tensor<4>) -> Tensor<4> {
        layer.forward_relu(x)
    }

    fn conv_add_relu(&mut self, layer: &FoldedConv, x: Tensor<4>, around: Tensor<4>) -> Tensor<4> {
        layer.forward_add_relu(x, around)
    }

    fn whiten(&mut self, layer: &Whitening, x: Tensor<4>) -> Tensor<4> {
        layer.forward(x)
    }

    fn conv_pool_gelu(&mut self, layer: &FoldedConv, x: Tensor<4>) -> Tensor<4> {
        layer.forward_pool_gelu(x)
    }

    fn conv_gelu(&mut self, layer: &FoldedConv, x: Tensor<4>) -> Tensor<4> {
        layer.forward_gelu(x)
    }

    fn conv_add_gelu(&mut self, layer: &FoldedConv, x: Tensor<4>, around: Tensor<4>) -> Tensor<4> {
        layer.forward_add_gelu(x, around)
    }

    fn norm_relu(&mut self, layer: &FoldedNorm, x: Tensor<4>) -> Tensor<4> {
        layer.forward_relu(x)
    }

    fn max_pool(&mut self, x: Tensor<4>, size: usize) -> Tensor<4> {
        max_pool(x, size)
    }

    fn add(&mut self, x: Tensor<4>, around: Tensor<4>) -> Tensor<4> {
        x + around
    }

    fn global_avg_pool(&mut self, x: Tensor<4>) -> Tensor<2> {
        global_avg_pool(x)
    }

    fn global_max_pool(&mut self, x: Tensor<4>) -> Tensor<2> {
        global_max_pool(x)
    }

    fn flatten(&mut self, x: Tensor<4>) -> Tensor<2> {
        x.flatten(1, 3)
    }

    fn linear(&mut self, layer: &Linear, x: Tensor<2>) -> Tensor<2> {
        layer.forward(x)
    }

    fn linear_relu(&mut self, layer: &Linear, x: Tensor<2>) -> Tensor<2> {
        layer.forward_relu(x)
    }
}

/// An operation of a [`Graph`], in ONNX's terms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// A convolution with a bias; its parameters are the second and third input.
    Conv {
        /// Height and width of the filters.
        kernel: usize,
        /// Pixels from one window to the next.
        stride: usize,
        /// Zeros around the image.
        padding: usize,
    },
    /// The positive part.
    Relu,
    /// `x` times the share of a normal distribution below it (Hendrycks and Gimpel, 2016).
    Gelu,
    /// The maximum of each `size` by `size` pixels.
    MaxPool {
        /// Height and width of a window, and the way from one to the next.
        size: usize,
    },
    /// The sum of two inputs, of which the second may have one number a channel.
    Add,
    /// The product of two inputs, of which the second has one number a channel.
    Mul,
    /// The mean over all pixels, which keeps height and width as 1.
    GlobalAveragePool,
    /// The maximum over all pixels, which keeps height and width as 1.
    GlobalMaxPool,
    /// All dimensions but the first as one.
    Flatten,
    /// `x weight^T + bias`; the parameters are the second and third input.
    Gemm,
}

/// An operation with the names of what it takes and gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// What it does.
    pub operation: Operation,
    /// Values and parameters that it takes.
    pub inputs: Vec<String>,
    /// The value that it gives.
    pub output: String,
}

/// A parameter of a [`Graph`].
#[derive(Debug, Clone)]
pub struct Parameter {
    /// Its name.
    pub name: String,
    /// Its shape.
    pub shape: Vec<usize>,
    /// Its numbers, on the network's device.
    pub values: Tensor<1>,
}

/// A network's inference as a list of operations.
#[derive(Debug, Clone)]
pub struct Graph {
    /// The operations, each after those whose values it takes.
    pub nodes: Vec<Node>,
    /// Weights and biases.
    pub parameters: Vec<Parameter>,
    /// The value that the last operation gives: logits, `[batch, classes]`.
    pub output: String,
    /// How many layers with parameters there are.
    layers: usize,
}

impl Graph {
    /// The name of the images that the first operation takes, `[batch, 3, 32, 32]`.
    pub const INPUT: &'static str = "images";
    /// The name of the logits.
    pub const OUTPUT: &'static str = "logits";

    /// The operations that `network` does to [`Graph::INPUT`].
    pub(crate) fn of(network: impl FnOnce(&mut Self, String) -> String) -> Self {
        let mut graph = Self {
            nodes: Vec::new(),
            parameters: Vec::new(),
            output: Self::OUTPUT.to_owned(),
            layers: 0,
        };
        let output = network(&mut graph, Self::INPUT.to_owned());
        for node in &mut graph.nodes {
            if node.output == output {
                node.output = Self::OUTPUT.to_owned();
            }
        }
        graph
    }

    fn push(&mut self, operation: Operation, inputs: Vec<String>) -> String {
        let output = format!("value_{}", self.nodes.len());
        self.nodes.push(Node {
            operation,
            inputs,
            output: output.clone(),
        });
        output
    }

    /// A parameter of the next layer, `name` in it.
    fn parameter<const D: usize>(&mut self, name: &str, values: Tensor<D>) -> String {
        let name = format!("layer_{}.{name}", self.layers);
        self.parameters.push(Parameter {
            name: name.clone(),
            shape: values.shape().to_vec(),
            values: values.flatten(0, D - 1),
        });
        name
    }

    /// An operation with a weight and a bias.
    fn push_layer<const D: usize>(
        &mut self,
        operation: Operation,
        x: String,
        weight: Tensor<D>,
        bias: Tensor<1>,
    ) -> String {
        let inputs = vec![
            x,
            self.parameter("weight", weight),
            self.parameter("bias", bias),
        ];
        self.layers += 1;
        self.push(operation, inputs)
    }
}

impl Interpreter for Graph {
    type Maps = String;
    type Features = String;

    fn conv_relu_pool(&mut self, layer: &ConvBias2d, x: String, pool: usize) -> String {
        let (weight, bias) = layer.parameters();
        let [_, _, kernel, _] = weight.dims();
        let operation = Operation::Conv {
            kernel,
            stride: 1,
            padding: 0,
        };
        let x = self.push_layer(operation, x, weight, bias);
        let x = self.push(Operation::Relu, vec![x]);
        self.push(Operation::MaxPool { size: pool }, vec![x])
    }

    fn conv(&mut self, layer: &FoldedConv, x: String) -> String {
        let (weight, bias) = layer.parameters();
        let [_, _, kernel, _] = weight.dims();
        let operation = Operation::Conv {
            kernel,
            stride: layer.stride(),
            padding: layer.padding(),
        };
        self.push_layer(operation, x, weight, bias)
    }

    fn conv_relu(&mut self, layer: &FoldedConv, x: String) -> String {
        let x = self.conv(layer, x);
        self.push(Operation::Relu, vec![x])
    }

    fn conv_add_relu(&mut self, layer: &FoldedConv, x: String, around: String) -> String {
        let x = self.conv(layer, x);
        let x = self.push(Operation::Add, vec![x, around]);
        self.push(Operation::Relu, vec![x])
    }

    fn whiten(&mut self, layer: &Whitening, x: String) -> String {
        let (weight, bias) = layer.parameters();
        let [_, _, kernel, _] = weight.dims();
        let operation = Operation::Conv {
            kernel,
            stride: 1,
            padding: 0,
        };
        let x = self.push_layer(operation, x, weight, bias);
        self.push(Operation::Gelu, vec![x])
    }

    fn conv_pool_gelu(&mut self, layer: &FoldedConv, x: String) -> String {
        let x = self.conv(layer, x);
        let x = self.push(Operation::MaxPool { size: 2 }, vec![x]);
        self.push(Operation::Gelu, vec![x])
    }

    fn conv_gelu(&mut self, layer: &FoldedConv, x: String) -> String {
        let x = self.conv(layer, x);
        self.push(Operation::Gelu, vec![x])
    }

    fn conv_add_gelu(&mut self, layer: &FoldedConv, x: String, around: String) -> String {
        let x = self.conv(layer, x);
        let x = self.push(Operation::Add, vec![x, around]);
        self.push(Operation::Gelu, vec![x])
    }

    fn norm_relu(&mut self, layer: &FoldedNorm, x: String) -> String {
        let [scale, shift] = layer.parameters();
        let names = [
            self.parameter("scale", scale),
            self.parameter("shift", shift),
        ];
        self.layers += 1;
        let [scale, shift] = names;
        let x = self.push(Operation::Mul, vec![x, scale]);
        let x = self.push(Operation::Add, vec![x, shift]);
        self.push(Operation::Relu, vec![x])
    }

    fn max_pool(&mut self, x: String, size: usize) -> String {
        self.push(Operation::MaxPool { size }, vec![x])
    }

    fn add(&mut self, x: String, around: String) -> String {
        self.push(Operation::Add, vec![x, around])
    }

    fn global_avg_pool(&mut self, x: String) -> String {
        let x = self.push(Operation::GlobalAveragePool, vec![x]);
        self.flatten(x)
    }

    fn global_max_pool(&mut self, x: String) -> String {
        let x = self.push(Operation::GlobalMaxPool, vec![x]);
        self.flatten(x)
    }

    fn flatten(&mut self, x: String) -> String {
        self.push(Operation::Flatten, vec![x])
    }

    fn linear(&mut self, layer: &Linear, x: String) -> String {
        let (weight, bias) = layer.parameters();
        self.push_layer(Operation::Gemm, x, weight, bias)
    }

    fn linear_relu(&mut self, layer: &Linear, x: String) -> String {
        let x = self.linear(layer, x);
        self.push(Operation::Relu, vec![x])
    }
}
