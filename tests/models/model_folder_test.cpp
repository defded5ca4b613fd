#include <torch/nn/modules/linear.h>
#include <cmath>
#include <functional>
#include <string>

#include "x2ctpa/models/model_folder.h"

#include "models/helpers.h"
#include "x2ctpa/core/options.h"
#include "x2ctpa/models/vqgan3d.h"

namespace x2ctpa {
namespace {

using test::expect_error;
using test::TemporaryFolder;

Vqgan3dOptions small() {
  Vqgan3dOptions o;
  o.hidden_channels = 2;
  o.embedding_dim = 3;
  o.codes = 4;
  o.downsample = {1, 2, 2};
  return o;
}

TEST(ModelFolder, GivesBackEveryTensorAndTheOptions) {
  const TemporaryFolder folder;
  Vqgan3d saved(small());
  save_module(folder.path(), *saved, options_to_yaml(small()));
  const auto loaded = load_model<Vqgan3d>(folder.path());
  EXPECT_EQ(loaded->options().downsample, small().downsample);
  const auto expected = named_tensors(*saved), found = named_tensors(*loaded);
  ASSERT_EQ(expected.size(), found.size());
  for (const auto& [name, tensor] : expected) EXPECT_TRUE(tensor.equal(found.at(name))) << name;
}

TEST(ModelFolder, DrawsNoInitialValuesForAModelThatIsLoaded) {
  const auto first = [](const torch::nn::Linear& layer) {
    return layer->weight.detach().flatten()[0].item<double>();
  };
  auto generator = at::detail::getDefaultCPUGenerator();
  const at::Tensor before = generator.get_state();
  {
    const WithoutInitialValues scope;
    EXPECT_TRUE(scope.acts());
    const Vqgan3d model(small());
    EXPECT_TRUE(at::equal(generator.get_state(), before));
    const auto x = at::full({3}, 2.0);
    EXPECT_TRUE(at::equal(at::empty({3}).fill_(2.0), x)) << "only random fills are left out";
    EXPECT_TRUE(at::equal(x.clone().normal_(), x));
  }
  EXPECT_NE(first(torch::nn::Linear(4, 4)), first(torch::nn::Linear(4, 4)));
  EXPECT_FALSE(at::equal(generator.get_state(), before));
}

TEST(ModelFolder, BuildsPlainlyWhereTheDispatchKeyDoesNotServe) {
  // No operator is registered for this key, and under CPU random fills draw as ever.
  for (const auto key : {c10::DispatchKey::TESTING_ONLY_GenericWrapper, c10::DispatchKey::CPU}) {
    torch::manual_seed(3);
    const torch::nn::Linear expected(4, 4);
    torch::manual_seed(3);
    const WithoutInitialValues scope(key);
    EXPECT_FALSE(scope.acts()) << c10::toString(key);
    const torch::nn::Linear found(4, 4);
    EXPECT_TRUE(at::equal(found->weight, expected->weight)) << c10::toString(key);
  }
}

// The weights of a small model after `change`, loaded into another: the error's text.
void expect_refusal(const std::function<void(TensorMap&)>& change, const std::string& part) {
  Vqgan3d source(small()), target(small());
  TensorMap tensors;
  for (const auto& [name, tensor] : named_tensors(*source)) tensors[name] = tensor.detach().clone();
  change(tensors);
  const auto before = target->parameters()[0].detach().clone();
  expect_error([&] { load_tensors(*target, tensors, "folder/model.safetensors"); }, part);
  EXPECT_TRUE(target->parameters()[0].equal(before));
}

TEST(ModelFolder, NamesAMissingTensor) {
  expect_refusal([](TensorMap& t) { t.erase("codebook.N"); }, "Missing: codebook.N");
}

TEST(ModelFolder, NamesAnUnexpectedTensor) {
  expect_refusal([](TensorMap& t) { t["extra"] = torch::zeros(1); }, "Unexpected: extra");
}

TEST(ModelFolder, NamesATensorOfAnotherShape) {
  expect_refusal([](TensorMap& t) { t["codebook.N"] = torch::zeros(5); },
                 "codebook.N: expected shape (4), found (5)");
}

TEST(ModelFolder, NamesATensorOfAnotherType) {
  expect_refusal([](TensorMap& t) { t["codebook.N"] = torch::zeros(4, torch::kDouble); },
                 "codebook.N: expected type Float");
}

TEST(ModelFolder, NamesATensorThatIsNotFinite) {
  expect_refusal([](TensorMap& t) { t["codebook.N"][1] = std::nan(""); },
                 "codebook.N holds values that are not finite");
}

}  // namespace
}  // namespace x2ctpa
